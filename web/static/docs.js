// The API's documentation: Swagger UI, with the OpenAPI document.

import { functionKey, takeKeyFromAddress } from "./key.js";
import { attempt } from "./storage.js";

/** The keys to enter. An address with `code` would be stored in logs, and `api-key` has the same key as `apiKey`. */
const OFFERED = ["functionKey", "apiKey"];
const KEY_ORIGIN =
  "On Azure: `az functionapp keys list --resource-group NAME --name NAME --query functionKeys.default`, or *App keys* of the " +
  "function app in the portal. A service on your own machine needs none.";
const isLocal = /^(?:localhost|127\.|\[::1\])/.test(location.hostname);
const docs = document.getElementById("docs");

const dark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followScheme);
followScheme();

let opener = null; // the last button that was clicked outside the dialog
docs.addEventListener(
  "click",
  ({ target }) => {
    if (!target.closest(".dialog-ux")) opener = target.closest("button");
  },
  true,
);
new MutationObserver(improve).observe(docs, { childList: true, subtree: true });

const keyInAddress = takeKeyFromAddress();
const response = await fetch("openapi.json");
const ui = SwaggerUIBundle({
  spec: adapted(await response.json()),
  domNode: docs,
  plugins: [showLines],
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: false, // its colours have too little contrast
  responseInterceptor: readAsText,
  onComplete: () => {
    const key = keyInAddress ?? functionKey.get();
    if (key) ui.preauthorizeApiKey("functionKey", key);
  },
});

/** The OpenAPI document with what holds for this page. */
function adapted(spec) {
  const { securitySchemes } = spec.components;
  spec.components.securitySchemes = Object.fromEntries(OFFERED.map((name) => [name, securitySchemes[name]]));
  securitySchemes.functionKey.description = KEY_ORIGIN;
  const offered = (requirements) => requirements?.filter((names) => OFFERED.includes(Object.keys(names)[0]));
  spec.security = offered(spec.security);
  // The route prefix is the one of this page's address.
  const prefix = location.pathname.replace(/docs$/, "");
  spec.paths = Object.fromEntries(Object.entries(spec.paths).map(([path, item]) => [path.replace("/api/", prefix), item]));
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const operation of Object.values(item)) {
      if (operation.security) operation.security = offered(operation.security);
      for (const { content } of Object.values(operation.responses)) {
        // Swagger UI does not know the schema of an item of a stream.
        for (const type of Object.values(content ?? {})) type.schema ??= type.itemSchema;
      }
      const { streamed } = operation.requestBody?.content["application/json"].examples ?? {};
      if (streamed) operation.description += streamingHint(path, streamed.value);
    }
  }
  return spec;
}

function streamingHint(path, body) {
  const key = isLocal ? "" : ` -H "x-functions-key: $KEY"`;
  const curl = `curl -N '${location.origin}${path}'${key} -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  return `\n\nThis page shows a response when it is complete. To see it arrive:\n\n\`\`\`\n${curl}\n\`\`\``;
}

/** Swagger UI makes a Blob of each media type that it does not know, and every response of this API is text. */
async function readAsText(response) {
  if (response.data instanceof Blob) response.text = response.data = await response.data.text();
  return response;
}

/** Shows a stream of lines as lines: Swagger UI takes it for one JSON value. */
function showLines() {
  const replaceProperty = (name, replaced) => (Original, { React }) => (props) =>
    React.createElement(Original, { ...props, [name]: replaced(props[name]) });
  return {
    wrapComponents: {
      responseBody: replaceProperty("contentType", (type) => (/ndjson|jsonl/.test(type) ? "text/plain" : type)),
      HighlightCode: replaceProperty("children", (text) => (text.startsWith('"') && attempt(() => JSON.parse(text))) || text),
    },
  };
}

/** Adds what a screen reader and a keyboard need, and Swagger UI does not have. */
function improve() {
  const each = (selector, change) => docs.querySelectorAll(selector).forEach(change);
  each(".body-param__text", (field) => (field.ariaLabel = "Request body"));
  each(".examples-select-element", (field) => (field.ariaLabel = "Example"));
  each(".copy-to-clipboard button", (button) => (button.ariaLabel = "Copy"));
  each(".close-modal", (button) => (button.ariaLabel = "Close"));
  each("table[role=region]", (table) => (table.role = "table"));
  each("pre:not(.version)", (code) => (code.tabIndex = 0)); // it scrolls
  const levels = [];
  each("h1, h2, h3, h4, h5, h6", (heading) => {
    while (levels.at(-1) >= heading.tagName) levels.pop();
    levels.push(heading.tagName);
    heading.ariaLevel = levels.length;
  });
  each(".modal-ux:not([role])", openDialog);
}

function openDialog(dialog) {
  Object.assign(dialog, { role: "dialog", ariaModal: "true", ariaLabel: "Authorize" });
  (dialog.querySelector("input") ?? dialog.querySelector("button")).focus();
  dialog.addEventListener("keydown", ({ key }) => key === "Escape" && dialog.querySelector(".close-modal").click());
  const closed = new MutationObserver(() => {
    if (dialog.isConnected) return;
    closed.disconnect();
    opener?.focus();
  });
  closed.observe(docs, { childList: true, subtree: true });
}
