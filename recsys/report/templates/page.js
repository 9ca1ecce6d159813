// The map's legend: choosing a category dims the others. Everything else works without this.
for (const button of document.querySelectorAll(".keys button")) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const other of document.querySelectorAll(".keys button")) other.setAttribute("aria-pressed", String(on && other === button));
    for (const mark of document.querySelectorAll(".map [data-k]:not(button)")) mark.classList.toggle("dim", on && mark.dataset.k !== button.dataset.k);
  });
}
