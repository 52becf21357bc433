// The list of buckets.

import { h, swap } from "../lib/dom.js";
import { bytes, count, moment } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { live } from "../lib/live.js";
import { ask, button, confirm, empty, heading, iconButton, notice, table, toast } from "../lib/parts.js";
import { storeOf } from "../stores/choice.js";

export function bucketsPage({ page, session, signal }) {
  const store = storeOf(session);
  const again = live(signal, 15000, async () => {
    try {
      show(await store.buckets(signal));
    } catch (problem) {
      if (problem.name !== "AbortError") swap(page, heading("Buckets"), notice(problem));
      throw problem;
    }
  });

  const create = () => ask({
    title: "New bucket", submit: "Create bucket",
    fields: [{ name: "name", label: "Name", required: true, maxlength: 256, pattern: session.isKey ? "[a-z0-9][a-z0-9.\\-]{1,61}[a-z0-9]" : "[^\\/]+",
      hint: session.isKey ? "3 to 63 small letters, digits, dots and hyphens. Bucket names are shared by all users of the cluster." : "Anything without a slash. S3 clients can use it, too, when it is 3 to 63 small letters, digits, dots and hyphens." }],
    act: async ({ name }) => {
      await store.createBucket(name);
      location.hash = `#/buckets/${encodeURIComponent(name)}`;
    },
  });
  const remove = (bucket) => confirm(`Delete “${bucket.name}”?`, "A bucket must be empty to be deleted. This cannot be undone.", "Delete bucket", async () => {
    await store.deleteBucket(bucket.name);
    toast(`“${bucket.name}” is deleted.`);
    again();
  });

  function show(buckets) {
    const shown = buckets.filter((each) => !each.name.endsWith("_segments") || !buckets.some((other) => `${other.name}_segments` === each.name));
    const hidden = buckets.length - shown.length;
    const counted = buckets.some((each) => each.count !== undefined);
    swap(page,
      heading("Buckets", `Objects live in buckets. Yours are reached here by ${store.name}, and by every S3 and Swift client.`, button("New bucket", { symbol: "plus", kind: "primary", onclick: create, key: "new" })),
      h("section", { class: "card flush" }, shown.length === 0
        ? empty("bucket", "No bucket yet", "A bucket holds objects: files of any size, under names of your choice. Make one, then drag files into it.", button("Make the first", { symbol: "plus", kind: "primary", onclick: create }))
        : table([
          { title: "Name", kind: "name", of: (each) => h("a", { href: `#/buckets/${encodeURIComponent(each.name)}`, "data-key": `bucket ${each.name}` }, icon("bucket"), each.name) },
          ...(counted ? [{ title: "Objects", kind: "number right", label: "objects", of: (each) => count(each.count) }, { title: "Size", kind: "number right", label: "size", of: (each) => bytes(each.bytes) }] : []),
          { title: counted ? "Changed" : "Created", kind: "number", of: (each) => moment(each.created) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => iconButton(`Delete ${each.name}`, "trash", () => remove(each), { kind: "danger" }) },
        ], shown, { caption: "Buckets" })),
      hidden > 0 && h("p", { class: "small muted" }, `Not shown: ${hidden} with the segments of large objects. They go with their objects.`));
  }
}
