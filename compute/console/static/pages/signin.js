// The door: by access key (signed here, the secret stays in this tab), or by user and password.

import { h, s, swap } from "../lib/dom.js";
import { notice } from "../lib/parts.js";
import { enterByKey, enterByPassword, facts } from "../session.js";

export function signInPage(entered) {
  const ways = [{ id: "key", title: "Access key", form: byKey }];
  if (facts.services.includes("identity")) ways.push({ id: "password", title: "User and password", form: byPassword });
  const panel = h("div", { id: "way", role: "tabpanel" });
  const tabs = ways.map((way) => h("button", { type: "button", role: "tab", id: `tab-${way.id}`, "aria-controls": "way", onclick: () => choose(way) }, way.title));

  function choose(way) {
    ways.forEach((each, at) => {
      tabs[at].setAttribute("aria-selected", String(each === way));
      tabs[at].tabIndex = each === way ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `tab-${way.id}`);
    swap(panel, way.form(entered));
  }

  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Ways to sign in", onkeydown: (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const at = (tabs.indexOf(document.activeElement) + 1) % tabs.length;
    choose(ways[at]);
    tabs[at].focus();
  } }, tabs);
  choose(ways[0]);
  const page = h("div", { class: "signin" },
    h("div", { class: "sea" }, kelp(),
      h("div", { class: "brand" }, h("img", { src: "/icon.svg", alt: "" }), "Holdfast"),
      h("div", {}, h("h1", {}, "What you put here holds fast."),
        h("p", {}, "Objects, volumes and guests, three times on nodes of their own. When one of them goes, the rest carry on, and what it missed grows back.")),
      h("span", { class: "small" }, `Version ${facts.version}`)),
    h("main", { class: "door" }, h("div", {}, h("div", {}, h("h2", {}, "Sign in"), h("p", { class: "muted" }, "To this cluster's console.")), ways.length > 1 && list, panel)));
  queueMicrotask(() => page.querySelector("input")?.focus());
  return page;
}

function form(fields, enter, entered, note) {
  const trouble = h("div", {});
  const go = h("button", { type: "submit", class: "button primary" }, "Sign in");
  const made = h("form", { class: "form", onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    swap(trouble);
    try {
      await enter(Object.fromEntries(new FormData(made)));
      entered();
    } catch (problem) {
      swap(trouble, notice(problem));
      go.disabled = false;
    }
  } }, fields.map(([name, label, more]) => h("div", { class: "field" }, h("label", { for: name }, label), h("input", { id: name, name, autocapitalize: "off", spellcheck: "false", ...more }))),
  trouble, go, h("p", { class: "small muted" }, note));
  return made;
}

function byKey(entered) {
  return form([["accessKey", "Access key", { required: true, autocomplete: "username" }], ["secret", "Secret", { required: true, type: "password", autocomplete: "current-password" }]],
    ({ accessKey, secret }) => enterByKey(accessKey, secret), entered,
    ["The secret signs requests in this tab and never leaves it. ", h("code", {}, "holdfast env"), " shows the administrator's keys, ", h("code", {}, "holdfast user add NAME"), " makes others."]);
}

function byPassword(entered) {
  return form([["user", "User", { required: true, autocomplete: "username" }], ["password", "Password", { required: true, type: "password", autocomplete: "current-password" }],
    ["project", "Project", { placeholder: "your first one", autocomplete: "off" }], ["domain", "Domain", { placeholder: "Default", autocomplete: "off" }]],
  enterByPassword, entered, ["The administrator's password is in ", h("code", {}, "admin.password"), " in the cluster's directory."]);
}

// blades of kelp that grow from one rock
function kelp() {
  const blades = [["M120 600C110 470 60 420 92 300 118 200 60 150 88 30", 0], ["M170 600C180 480 230 430 200 310 176 214 236 150 206 60", 1], ["M60 600C40 520 14 470 34 380 48 310 10 270 22 200", 2], ["M230 600C250 520 286 480 270 400 256 330 300 300 286 230", 3]];
  const leaves = [];
  for (const [x, y, turn] of [[92, 300, -40], [84, 240, 30], [98, 400, 35], [200, 310, 40], [208, 230, -30], [196, 410, -38], [34, 380, -35], [270, 400, 35], [88, 120, -30], [210, 140, 32], [30, 300, 30], [276, 320, -30]]) {
    leaves.push(s("path", { d: "M0 0C18 -22 44 -26 66 -12 44 2 20 8 0 0", transform: `translate(${x} ${y}) rotate(${turn > 0 ? -turn : 180 - turn})`, fill: "currentColor", stroke: "none", "fill-opacity": ".5" }));
  }
  return s("svg", { class: "kelp", viewBox: "0 0 320 620", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": "5", "stroke-linecap": "round" },
    blades.map(([d]) => s("path", { d })), leaves, s("path", { d: "M20 612C70 560 240 560 300 612", "stroke-width": "14" }));
}
