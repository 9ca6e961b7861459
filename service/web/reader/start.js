// Opens the service's own description in Swagger UI. Nothing leaves this origin: no validator, no stored tokens.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reader",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
