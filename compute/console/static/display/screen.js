// The screen of a guest, in a window of its own: by noVNC where that is installed, and where any VNC viewer finds it.

import { h, swap } from "../lib/dom.js";

const place = document.getElementById("app");
const state = h("p", { class: "display-state", role: "status" }, "Connecting …");

async function show() {
  const answer = await fetch(`/api/screen${location.search}`, { cache: "no-store" });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error.message);
  if (told.viewer) await view(told);
  else explain(told);
}

async function view({ viewer, password }) {
  const { default: Viewer } = await import(viewer);
  const frame = h("div", { class: "screen-frame", "aria-label": "The screen of the guest" });
  const press = h("button", { type: "button", class: "button", disabled: true, onclick: () => { remote.sendCtrlAltDel(); remote.focus(); } }, "Ctrl-Alt-Del");
  swap(place, h("header", { class: "display-head" }, h("h1", {}, "Screen"), state, press), frame);
  const address = new URL("/api/line", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = location.search;
  const remote = new Viewer(frame, address.href, { shared: true, credentials: { password } });
  remote.scaleViewport = true;
  remote.background = "#0a1112";
  let refused = false;
  remote.addEventListener("connect", () => { state.textContent = "Connected. A click gives it the keyboard."; press.disabled = false; remote.focus(); });
  remote.addEventListener("securityfailure", () => { refused = true; });
  remote.addEventListener("disconnect", () => {
    press.disabled = true;
    state.textContent = refused ? "The link is too old, or another one was asked for since: ask for a new one."
      : "The screen has ended: the guest is off, its host does not answer, or the link is too old. Ask for another one.";
  });
}

function explain({ host, port, password }) {
  const row = (name, value) => [h("dt", {}, name), h("dd", {}, h("code", {}, value))];
  swap(place, h("header", { class: "display-head" }, h("h1", {}, "Screen")), h("section", { class: "card display-card" },
    h("p", {}, "This page shows it once noVNC is installed where the console runs: ", h("code", {}, "apt-get install novnc"), " (or ", h("code", {}, "make compute"), "), then a restart of the console."),
    h("p", {}, "Any VNC viewer shows it, on the guest's host or through a tunnel to there. The password lets in for five minutes."),
    h("dl", { class: "facts" }, row("Address", `${host}:${port}`), row("Password", password), row("For instance", `vncviewer ${host}::${port}`))));
}

show().catch((problem) => swap(place, h("header", { class: "display-head" }, h("h1", {}, "Screen")), h("section", { class: "card display-card" }, h("p", { role: "alert" }, problem.message))));
