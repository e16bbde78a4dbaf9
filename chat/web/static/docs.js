// The API's documentation: Swagger UI, with the document that the service makes of itself.

/** Swagger UI takes NDJSON for broken JSON: this has it show the lines as they came. */
const linesAsText = () => ({
  wrapComponents: {
    responseBody:
      (Original, { React }) =>
      (props) =>
        React.createElement(Original, {
          ...props,
          contentType: /ndjson|jsonl/.test(props.contentType) ? "text/plain" : props.contentType,
        }),
  },
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

/** Names for the fields that Swagger UI leaves without one, and a screen reader without a word for. */
const names = { ".body-param__text": "Request body", ".examples-select-element": "Example" };
const nameFields = () => {
  for (const [selector, name] of Object.entries(names)) {
    for (const field of document.querySelectorAll(selector)) field.ariaLabel = name;
  }
};
new MutationObserver(nameFields).observe(document.getElementById("docs"), { childList: true, subtree: true });

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  plugins: [linesAsText],
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
