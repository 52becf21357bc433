// The screen of a guest: where a VNC viewer finds it, for as long as the link is good.

import { h, swap } from "../lib/dom.js";

const place = document.getElementById("app");
const head = h("header", { class: "display-head" }, h("h1", {}, "Screen"));

async function show() {
  const answer = await fetch(`/api/screen${location.search}`, { cache: "no-store" });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error.message);
  const row = (name, value) => [h("dt", {}, name), h("dd", {}, h("code", {}, value))];
  swap(place, head, h("section", { class: "card display-card" },
    h("p", {}, "A VNC viewer shows it, on the guest's host or through a tunnel to there. The password lets in for five minutes."),
    h("dl", { class: "facts" }, row("Address", `${told.host}:${told.port}`), row("Password", told.password), row("For instance", `vncviewer ${told.host}::${told.port}`))));
}

show().catch((problem) => swap(place, head, h("section", { class: "card display-card" }, h("p", { role: "alert" }, problem.message))));
