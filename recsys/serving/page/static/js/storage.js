/** Browser storage: theme, recent products, the shelf. Falls back to memory if storage is blocked. */

const memory = new Map();

export function recall(key, otherwise) {
  try {
    const text = localStorage.getItem(key);
    return text === null ? (memory.get(key) ?? otherwise) : JSON.parse(text);
  } catch {
    return memory.get(key) ?? otherwise;
  }
}

export function remember(key, value) {
  memory.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* full or blocked: kept in memory until the page is closed */ }
}

/** A stored list of products `{id, title, brand, image, …}` with listeners; it follows other tabs. */
export function productList(key, most) {
  const listeners = new Set();
  const read = () => {
    const list = recall(key, []);
    return Array.isArray(list) ? list.filter((p) => p && typeof p.id === "string") : [];
  };
  const write = (list) => { remember(key, list.slice(0, most)); listeners.forEach((act) => act()); };
  addEventListener("storage", (event) => { if (event.key === key) listeners.forEach((act) => act()); });
  return {
    all: read,
    has: (id) => read().some((p) => p.id === id),
    first: (product) => write([product, ...read().filter((p) => p.id !== product.id)]),
    add: (...products) => {
      const list = read();
      const known = new Set(list.map((p) => p.id));
      write([...list, ...products.filter((p) => !known.has(p.id))]);
    },
    drop: (id) => write(read().filter((p) => p.id !== id)),
    move: (id, to) => {
      const list = read();
      const from = list.findIndex((p) => p.id === id);
      if (from < 0) return;
      list.splice(Math.max(0, Math.min(list.length - 1, to)), 0, list.splice(from, 1)[0]);
      write(list);
    },
    set: write,
    follow: (act) => { listeners.add(act); return () => listeners.delete(act); },
  };
}

export const recent = productList("recent", 24);
export const shelf = productList("shelf", 500);

/** The columns of a product that a stored list keeps. */
export function summary(product) {
  const { id, title, brand, image, price, sale_price, currency, availability, color, link, product_type } = product;
  return { id, title, brand, image, price, sale_price, currency, availability, color, link, product_type };
}
