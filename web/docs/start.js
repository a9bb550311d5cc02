// Addresses are relative to the page, so that it works behind any path prefix.
SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#docs",
  deepLinking: true,
  // null keeps the document here: the default sends it to a public validator.
  validatorUrl: null,
});
