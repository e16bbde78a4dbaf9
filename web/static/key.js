// The function key.

import { storedItem } from "./storage.js";

export const functionKey = storedItem("localStorage", "chat.key");

/** Removes the function key from the page's address, and returns it, or null. */
export function takeKeyFromAddress() {
  const address = new URL(location.href);
  const key = address.searchParams.get("code");
  if (key !== null) {
    address.searchParams.delete("code");
    history.replaceState(null, "", address);
  }
  return key?.trim() || null;
}
