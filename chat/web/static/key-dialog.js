// The dialog in which somebody enters, replaces or removes the function key.

import { functionKey } from "./key.js";

const at = (id) => document.getElementById(id);
const dialog = at("key-dialog");
let whenChanged;

/** Opens the dialog with a key. `changed` is called with whether there is one when it has been replaced or removed. */
export function openKeyDialog(reason, changed, key = functionKey.get()) {
  whenChanged = changed;
  at("key-reason").textContent = reason;
  at("key").value = key ?? "";
  at("forget-key").hidden = !functionKey.get();
  dialog.showModal();
  at("key").select();
}

at("cancel-key").addEventListener("click", () => dialog.close());
at("forget-key").addEventListener("click", () => {
  functionKey.remove();
  dialog.close();
  whenChanged(false);
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  if (!key) return;
  functionKey.set(key);
  dialog.close();
  whenChanged(true);
});
