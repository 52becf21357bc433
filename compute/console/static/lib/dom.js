// Elements made of calls. Nothing here takes HTML as text: what users named cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "style") for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Replaces what is in `container`; whoever has the focus by a data-key keeps it.
export function swap(container, ...children) {
  const key = container.contains(document.activeElement) ? document.activeElement.dataset?.key : null;
  container.replaceChildren();
  append(container, children);
  if (key) container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// Words in which `commands` stand between backticks, as the cluster says them.
export function words(text) {
  return String(text).split(/(`[^`]*`)/).map((part) => (/^`.*`$/.test(part) ? h("code", {}, part.slice(1, -1)) : part));
}
