/** Elements, icons, images, announcements. What comes from data only ever becomes text and checked addresses. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `h("p.quiet", {id: "x", on: {click}}, "words", child)`. */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) give(node, name, value);
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return node;
}

function give(node, name, value) {
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

/** Make one of the icons of the page. */
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

/** Make a button that shows an icon and says what it does, to ears and to a pointer that rests on it. */
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

/** Replace what an element holds; the focus stays on what takes the place of what had it. */
export function fill(node, ...children) {
  const at = document.activeElement;
  const held = at !== node && node.contains(at);
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  if (held) (node.contains(at) ? at : likeness(node, at))?.focus({ preventScroll: true });
  return node;
}

function likeness(node, old) {
  const all = [...node.querySelectorAll(old.tagName)];
  const by = (mark) => mark(old) && all.find((one) => mark(one) === mark(old));
  return by((e) => e.getAttribute("aria-label")) || by((e) => e.dataset.value) || by((e) => e.dataset.act) || by((e) => e.textContent) || null;
}

/** Return the address if a link may lead there: the web only, whatever the feed says. */
export function webLink(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

const WIDTHS = [96, 160, 320, 640];
const OURS = /^\/images\/[0-9a-f]{64}$/;

/**
 * Make a product's image, or a quiet stand-in where there is none or it cannot be had.
 * `sizes` as in HTML; `eager` for what is seen first.
 */
export function image(product, { sizes, side = 320, eager = false, alt = "" } = {}) {
  const address = product?.image;
  if (!OURS.test(address ?? "")) return noImage();
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

const TOGETHER_MS = 1200;
let saying = { words: "", at: 0 };

/** Say something to a screen reader, politely; `urgent` interrupts. What is said at the same time is said together. */
export function say(words, urgent = false) {
  const place = document.getElementById(urgent ? "alarm" : "say");
  const now = performance.now();
  if (!urgent) {
    saying = { words: now - saying.at < TOGETHER_MS && saying.words !== words ? `${saying.words} ${words}`.trim() : words, at: now };
  }
  const all = urgent ? words : saying.words;
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = all; });
}

/** Call `act` once calls have paused for `ms`. */
export function later(ms, act) {
  let timer = 0;
  const call = (...args) => { clearTimeout(timer); timer = setTimeout(act, ms, ...args); };
  call.cancel = () => clearTimeout(timer);
  return call;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
