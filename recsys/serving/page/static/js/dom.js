/** Elements, icons, images and announcements. Data only ever becomes text and checked URLs. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `h("p.quiet", {id: "x", on: {click}}, "words", child)`. */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) setProperty(node, name, value);
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return node;
}

function setProperty(node, name, value) {
  if (name === "on") {
    for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
  } else if (name === "data") {
    Object.assign(node.dataset, value);
  } else if (name === "value" || name === "checked" || name === "disabled" || name === "indeterminate") {
    node[name] = value;
  } else if (value === true) {
    node.setAttribute(name, "");
  } else if (value !== false && value !== null && value !== undefined) {
    node.setAttribute(name, value);
  }
}

/** Make an icon; one with a `label` is read out. */
export function icon(name, label = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Make an icon button with a label for screen readers and a tooltip. */
export function iconButton(name, label, act, props = {}) {
  const { class: classes = "", tip = label, ...rest } = props;
  const node = h("button.round", { type: "button", "aria-label": label, "data-tip": tip, on: { click: act }, ...rest }, icon(name));
  if (classes) node.classList.add(...classes.split(" "));
  return node;
}

export function button(label, act, { kind = "button", icon: name = "", ...props } = {}) {
  const [first, ...others] = kind.split(" ");
  const node = h(`button.${first}`, { type: "button", on: act ? { click: act } : {}, ...props }, name && icon(name), label);
  if (others.length) node.classList.add(...others);
  return node;
}

/** Replace the children of an element; the focus moves to the counterpart of the child that had it. */
export function fill(node, ...children) {
  const at = document.activeElement;
  const held = at !== node && node.contains(at);
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  if (held) (node.contains(at) ? at : counterpart(node, at))?.focus({ preventScroll: true });
  return node;
}

function counterpart(node, old) {
  const all = [...node.querySelectorAll(old.tagName)];
  const by = (mark) => mark(old) && all.find((one) => mark(one) === mark(old));
  return by((e) => e.getAttribute("aria-label")) || by((e) => e.dataset.value) || by((e) => e.dataset.act) || by((e) => e.textContent) || null;
}

/** Return the URL if it is http or https, else null. */
export function webLink(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

const WIDTHS = [96, 160, 320, 640];
const IMAGE_PATH = /^\/images\/[0-9a-f]{64}$/;

/**
 * Make a product's image, or a placeholder if it has none or the image does not load.
 * `sizes` as in HTML; `eager` for what is seen first.
 */
export function image(product, { sizes, side = 320, eager = false, alt = "" } = {}) {
  const address = product?.image;
  if (!IMAGE_PATH.test(address ?? "")) return noImage();
  const image = h("img", {
    alt, sizes, width: side, height: side, decoding: "async",
    loading: eager ? "eager" : "lazy",
    fetchpriority: eager ? "high" : null,
    srcset: WIDTHS.map((w) => `${address}?w=${w} ${w}w`).join(", "),
    src: `${address}?w=${WIDTHS.find((w) => w >= side) ?? 640}`,
    draggable: "false",
    on: { error: () => image.replaceWith(noImage()) },
  });
  return image;
}

function noImage() {
  return h("span.empty-image", {}, icon("image"), h("span", {}, "No image"));
}

const MERGE_MS = 1200;
let announced = { words: "", at: 0 };

/** Announce to screen readers; `urgent` interrupts. Messages within a second or so are read as one. */
export function announce(words, urgent = false) {
  const place = document.getElementById(urgent ? "alarm" : "say");
  const now = performance.now();
  if (!urgent) {
    announced = { words: now - announced.at < MERGE_MS && announced.words !== words ? `${announced.words} ${words}`.trim() : words, at: now };
  }
  const all = urgent ? words : announced.words;
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = all; });
}

/** Call `act` once calls have paused for `ms`. */
export function debounce(ms, act) {
  let timer = 0;
  const call = (...args) => { clearTimeout(timer); timer = setTimeout(act, ms, ...args); };
  call.cancel = () => clearTimeout(timer);
  return call;
}

export const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
