// One's own access keys in the project, for S3 clients.

import { h, swap } from "../lib/dom.js";
import { live } from "../lib/live.js";
import { button, confirm, copyable, empty, heading, iconButton, notice, show, table, toast } from "../lib/parts.js";
import { facts } from "../session.js";

export function keysPage({ page, session, signal }) {
  const base = `/v3/users/${session.userId}/credentials/OS-EC2`;
  let said = "";
  const again = live(signal, 20000, async () => {
    try {
      const { credentials } = await session.ask("identity", base, { signal });
      const own = credentials.filter((each) => each.tenant_id === session.project);
      const now = JSON.stringify(own);
      if (now !== said) render(own);
      said = now;
    } catch (problem) {
      if (problem.name !== "AbortError") { swap(page, heading("Access keys"), notice(problem)); said = ""; }
      throw problem;
    }
  });

  async function create() {
    try {
      const { credential } = await session.ask("identity", base, { method: "POST", body: { tenant_id: session.project } });
      again();
      tell(credential);
    } catch (problem) {
      toast(problem, "bad");
    }
  }

  const tell = (credential) => show("Access key", h("div", { class: "form" },
    h("div", { class: "field" }, h("label", {}, "Access key"), copyable(credential.access, "Access key")), h("div", { class: "field" }, h("label", {}, "Secret"), copyable(credential.secret, "Secret")),
    h("pre", { class: "log" }, `export AWS_ENDPOINT_URL=http://${location.hostname}:${facts.s3.port}\nexport AWS_ACCESS_KEY_ID=${credential.access}\nexport AWS_SECRET_ACCESS_KEY=${credential.secret}\nexport AWS_DEFAULT_REGION=${facts.region}`),
    h("p", { class: "small muted" }, "Whoever has both can do what you can in this project’s buckets.")), false);
  const remove = (credential) => confirm("Delete this key?", `What signs with ${credential.access} is refused within a second.`, "Delete key", async () => {
    await session.ask("identity", `${base}/${credential.access}`, { method: "DELETE" });
    toast("Deleted.");
    again();
  });

  function render(credentials) {
    swap(page, heading("Access keys", `Keys by which S3 clients use the buckets of “${session.projectName}” as you.`, button("New key", { symbol: "plus", kind: "primary", onclick: create, key: "new" })),
      h("section", { class: "card flush" }, credentials.length === 0
        ? empty("key", "No key yet", "aws, rclone, boto3 and the rest sign with an access key and its secret. Make one for each program, and delete it when the program goes.", button("Make the first", { symbol: "plus", kind: "primary", onclick: create }))
        : table([
          { title: "Access key", kind: "name mono", of: (each) => each.access },
          { title: "Secret", of: (each) => button("Show", { small: true, onclick: () => tell(each), key: `show ${each.access}` }) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => iconButton(`Delete ${each.access}`, "trash", () => remove(each), { kind: "danger" }) },
        ], credentials, { caption: "Access keys" })));
  }
}
