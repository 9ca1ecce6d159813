/**
 * Photographs to search by: turned upright and shrunk, without their metadata. They stay on this device
 * (IndexedDB) under a key that the URL names; a copied link carries a small version.
 */
import { h } from "./dom.js";

const SIDE = 640;
const LINK_SIDE = 192;
const KEPT = 40;
const memory = new Map();

export class UnreadablePhoto extends Error {}

/** Keep files or blobs and return their keys. Throws {@link UnreadablePhoto} if one is not an image. */
export async function keepPhotos(files) {
  const keys = [];
  for (const file of files) {
    const blob = await shrink(file, SIDE);
    const key = await name(blob);
    memory.set(key, blob);
    await put(key, blob).catch(() => null);
    keys.push(key);
  }
  return keys;
}

/** Return the photograph of a key, or null if it is not on this device. */
export async function photo(key) {
  if (!memory.has(key)) {
    const blob = await take(key).catch(() => null);
    if (!blob) return null;
    memory.set(key, blob);
  }
  return memory.get(key);
}

/** Return data URLs for the request; keys without a photograph are left out. */
export async function photoData(keys) {
  const blobs = (await Promise.all(keys.map(photo))).filter(Boolean);
  return Promise.all(blobs.map(dataAddress));
}

const shown = new Map();

/** Show a photograph. */
export function photoImage(key, alt = "Your photograph") {
  const image = h("img", { alt, width: 320, height: 320, decoding: "async" });
  photo(key).then((blob) => {
    if (!blob) return;
    if (!shown.has(key)) shown.set(key, URL.createObjectURL(blob));
    image.src = shown.get(key);
  });
  return image;
}

/** The photographs as the fragment of a link: small, and browsers do not send fragments to servers. */
export async function photoFragment(keys) {
  const blobs = (await Promise.all(keys.map(photo))).filter(Boolean);
  const small = await Promise.all(blobs.map(async (b) => (await dataAddress(await shrink(b, LINK_SIDE, 0.8))).split(",")[1]));
  return small.length ? `#photos=${small.map((s) => s.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")).join(".")}` : "";
}

/** Keep the photographs of a shared link and return their keys. */
export async function photosFromLink() {
  if (!location.hash.startsWith("#photos=")) return [];
  const texts = location.hash.slice(8).split(".").slice(0, 8);
  history.replaceState(history.state, "", location.pathname + location.search);
  try {
    const blobs = texts.map((t) => new Blob([Uint8Array.from(atob(t.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0))]));
    return await keepPhotos(blobs);
  } catch {
    return [];
  }
}

async function shrink(file, side, quality = 0.9) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new UnreadablePhoto(`${file.name ? `“${file.name}”` : "This"} cannot be read as an image. Use a JPEG, PNG or WebP.`);
  }
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // transparent images get a white background, as in a shop
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

async function name(blob) {
  const bytes = await blob.arrayBuffer();
  if (globalThis.crypto?.subtle) {
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return Array.from(new Uint8Array(digest).slice(0, 6), (b) => b.toString(16).padStart(2, "0")).join("");
  }
  let sum = 0; // plain http on another host has no crypto.subtle; the name only has to differ
  for (const b of new Uint8Array(bytes)) sum = (Math.imul(sum, 31) + b) >>> 0;
  return sum.toString(16).padStart(8, "0") + bytes.byteLength.toString(16);
}

const dataAddress = (blob) => new Promise((done, fail) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => fail(reader.error);
  reader.readAsDataURL(blob);
});

// -- IndexedDB ------------------------------------------------------------------------------------

const finished = (request) => new Promise((done, fail) => {
  request.onsuccess = () => done(request.result);
  request.onerror = () => fail(request.error);
});

let opened = null;
function database() {
  opened ??= new Promise((done, fail) => {
    const request = indexedDB.open("photos", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("photos", { keyPath: "key" });
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
  return opened;
}

const store = async (mode) => (await database()).transaction("photos", mode).objectStore("photos");
const take = async (key) => (await finished((await store("readonly")).get(key)))?.blob ?? null;

async function put(key, blob) {
  const photos = await store("readwrite");
  await finished(photos.put({ key, blob, at: Date.now() }));
  const all = await finished((await store("readonly")).getAll());
  const old = all.sort((a, b) => b.at - a.at).slice(KEPT);
  if (old.length) { const room = await store("readwrite"); for (const o of old) room.delete(o.key); }
}
