// Instances, by the compute API: list, create, power, console log.

import { h, swap } from "../lib/dom.js";
import { moment } from "../lib/format.js";
import { live } from "../lib/live.js";
import { ask, badge, button, confirm, empty, heading, menu, notice, show, table, toast } from "../lib/parts.js";

const VERSION = "compute 2.67"; // flavors in full, networks "auto", volume types
const TONES = { ACTIVE: "ok", ERROR: "bad", SHUTOFF: "warn", PAUSED: "warn", SUSPENDED: "warn" };
const LINES = 400;

export function instancesPage({ page, session, signal }) {
  const call = (path, options) => session.ask("compute", `/v2.1${path}`, { version: VERSION, ...options });
  let said = "";
  const again = live(signal, 8000, async () => {
    try {
      const { servers } = await call("/servers/detail", { signal });
      const now = JSON.stringify(servers);
      if (now !== said) render(servers);
      said = now;
      if (servers.some((each) => each["OS-EXT-STS:task_state"] || each.status === "BUILD")) setTimeout(() => again(), 1500);
    } catch (problem) {
      if (problem.name !== "AbortError") { swap(page, heading("Instances"), notice(problem)); said = ""; }
      throw problem;
    }
  });

  async function create() {
    const [{ flavors }, { images }, { keypairs }, { networks }] = await Promise.all([
      call("/flavors/detail"), session.ask("image", "/v2/images?limit=100&status=active"), call("/os-keypairs").catch(() => ({ keypairs: [] })),
      session.has("network") ? session.ask("network", "/v2.0/networks").catch(() => ({ networks: [] })) : { networks: [] },
    ]);
    if (!flavors.length) return show("No flavor yet", notice({ message: "A flavor says how much memory and how many processors an instance gets, and there is none.", advice: "An administrator makes one: `openstack flavor create --ram 1024 --vcpus 1 --disk 10 small`" }, "warn"), false);
    if (!images.length) return show("No image yet", notice({ message: "An instance begins from an image, and there is none.", advice: "Upload one on the page “Images”." }, "warn"), false);
    return ask({
      title: "New instance", submit: "Create instance",
      fields: [{ name: "name", label: "Name", required: true, maxlength: 255 }, { name: "image", label: "Image", options: images.map((each) => [each.id, each.name || each.id]) },
        { name: "flavor", label: "Flavor", options: flavors.map((each) => [each.id, `${each.name}: ${each.vcpus} vCPU, ${each.ram} MiB, ${each.disk} GiB`]) },
        { name: "size", label: "Boot volume in GiB", type: "number", min: 1, value: "10", required: true, hint: "Its disk is a volume of this cluster, cloned of the image." },
        { name: "network", label: "Network", options: [["none", "none"], ["auto", "chosen for you"], ...networks.map((each) => [each.id, each.name || each.id])], value: networks[0]?.id ?? "none" },
        { name: "key", label: "Key pair", options: [["", "none"], ...keypairs.map(({ keypair }) => [keypair.name, keypair.name])] }],
      act: async ({ name, image, flavor, size, network, key }) => {
        await call("/servers", { method: "POST", body: { server: {
          name, flavorRef: flavor, ...(key ? { key_name: key } : {}), networks: network === "none" || network === "auto" ? network : [{ uuid: network }],
          block_device_mapping_v2: [{ uuid: image, source_type: "image", destination_type: "volume", boot_index: 0, volume_size: Number(size), delete_on_termination: true }],
        } } });
        toast(`“${name}” is being made.`);
        again();
      },
    });
  }

  const act = (server, told, body) => async () => {
    try {
      await call(`/servers/${server.id}/action`, { method: "POST", body });
      toast(told);
    } catch (problem) {
      toast(problem, "bad");
    }
    again();
  };

  async function log(server) {
    const place = h("pre", { class: "log", tabindex: "0" }, "One moment …");
    const look = async () => {
      try {
        const { output } = await call(`/servers/${server.id}/action`, { method: "POST", body: { "os-getConsoleOutput": { length: LINES } } });
        place.textContent = output || "Nothing yet.";
        place.scrollTop = place.scrollHeight;
      } catch (problem) { place.textContent = problem.message; }
    };
    const ended = new AbortController();
    signal.addEventListener("abort", () => ended.abort(), { once: true });
    live(ended.signal, 3000, look);
    await show(`Console of ${server.name}`, place);
    ended.abort();
  }

  const display = (server, protocol, type) => async () => {
    const wanted = { remote_console: { protocol, type } };
    const opened = window.open("about:blank", "_blank"); // now, or browsers take it for an advertisement
    try {
      const { remote_console: { url } } = await call(`/servers/${server.id}/remote-consoles`, { method: "POST", body: wanted });
      const link = new URL(url);
      opened.location.replace(link.pathname + link.search); // wherever the console is reached at
    } catch (problem) {
      opened?.close();
      toast(problem, "bad");
    }
  };

  const remove = (server) => confirm(`Delete “${server.name}”?`, "It is turned off, and its boot volume goes with it if it was made so. This cannot be undone.", "Delete instance", async () => {
    await call(`/servers/${server.id}`, { method: "DELETE" });
    toast("It is being deleted.");
    again();
  });

  function render(servers) {
    swap(page, heading("Instances", "Guests whose disks are volumes of this cluster.", button("New instance", { symbol: "plus", kind: "primary", key: "new", onclick: () => create().catch((problem) => toast(problem, "bad")) })),
      h("section", { class: "card flush" }, servers.length === 0
        ? empty("server", "No instance yet", "An instance is a virtual machine. It needs an image, a flavor and, to be reached, a network.", button("Make the first", { symbol: "plus", kind: "primary", onclick: () => create().catch((problem) => toast(problem, "bad")) }))
        : table([
          { title: "Name", kind: "name", of: (each) => h("span", { title: each.id }, each.name) },
          { title: "State", of: (each) => badge(each["OS-EXT-STS:task_state"] ?? each.status.toLowerCase(), each["OS-EXT-STS:task_state"] ? "busy" : TONES[each.status] ?? "busy") },
          { title: "Flavor", of: (each) => each.flavor?.original_name ?? "" },
          { title: "Addresses", kind: "mono", of: (each) => Object.values(each.addresses ?? {}).flat().map((at) => at.addr).join(", ") },
          { title: "Made", kind: "number", of: (each) => moment(each.created) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => menu(`Actions for ${each.name}`, [
            ["Console log", "terminal", () => log(each)], each.status === "ACTIVE" && ["Serial line", "terminal", display(each, "serial", "serial")], each.status === "ACTIVE" && ["Screen", "screen", display(each, "vnc", "novnc")],
            each.status === "SHUTOFF" && ["Start", "play", act(each, "It is being started.", { "os-start": null })], each.status === "ACTIVE" && ["Reboot", "again", act(each, "It is being rebooted.", { reboot: { type: "SOFT" } })],
            each.status === "ACTIVE" && ["Stop", "stop", act(each, "It is being stopped.", { "os-stop": null })], ["Delete", "trash", () => remove(each), "danger"]]) },
        ], servers, { caption: "Instances" })),
      servers.filter((each) => each.fault).map((each) => notice({ message: `${each.name}: ${each.fault.message}` })));
  }
}
