/** Photographs chosen, taken, dropped on the page or pasted. */
import { h, icon } from "./dom.js";
import { UnreadablePhoto, keepPhotos } from "./photos.js";
import { EMPTY, showView } from "./state.js";
import { showError } from "./toast.js";

const MOST = 8;

/** Search by these files; report those that are not images. */
export async function searchByPhotos(files) {
  const images = [...files].filter((f) => !f.type || f.type.startsWith("image/")).slice(0, MOST);
  if (!images.length) {
    showError(new UnreadablePhoto("That is not an image. Drop or paste a JPEG, PNG or WebP."));
    return;
  }
  try {
    const photos = await keepPhotos(images);
    showView({ ...EMPTY, page: "find", photos });
  } catch (problem) {
    if (!(problem instanceof UnreadablePhoto)) throw problem;
    showError(problem);
  }
}

/** Open the file chooser; `take` opens the camera of a phone. */
export function choosePhoto({ take = false } = {}) {
  const input = h("input", { type: "file", accept: "image/*", multiple: !take, capture: take && "environment", hidden: true, "data-photo": "" });
  input.addEventListener("change", () => { searchByPhotos(input.files); input.remove(); });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}

/** Let photographs be dropped on and pasted into the page. */
export function listenForPhotos() {
  let sheet = null;
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const hide = () => { depth = 0; sheet?.remove(); sheet = null; };
  addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    depth += 1;
    event.preventDefault();
    if (!sheet) {
      sheet = h("div.drop", {}, icon("camera"), "Drop the photograph to find what looks alike");
      document.body.append(sheet);
    }
  });
  addEventListener("dragleave", (event) => { if (carries(event) && (depth -= 1) <= 0) hide(); });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    hide();
    searchByPhotos(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    searchByPhotos(files);
  });
}
