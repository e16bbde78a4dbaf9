// What this browser stores. One that stores nothing throws exceptions.

const person = document.getElementById("person")?.textContent;

/** Begins the names of conversations and drafts: whoever signs in finds their own. */
export const PREFIX = person ? `chat.${person}.` : "chat.";

/** An item of `localStorage` or `sessionStorage`, or else of this page. `set` returns whether the browser stores it. */
export function storedItem(storage, name) {
  let unstored = null;
  return {
    get: () => unstored ?? attempt(() => window[storage].getItem(name)),
    set: (value) => {
      const isStored = attempt(() => window[storage].setItem(name, value)) !== null;
      unstored = isStored ? null : value;
      return isStored;
    },
    remove: () => {
      unstored = null;
      attempt(() => window[storage].removeItem(name));
    },
  };
}

/** Returns what an action returns, or null if it fails. */
export function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
