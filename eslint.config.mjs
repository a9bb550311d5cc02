// The page's scripts: what ESLint recommends, for browsers. What is not ours (vendor, docs) is left alone.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["web/vendor/", "web/docs/", "node_modules/", ".venv*/"] },
  js.configs.recommended,
  {
    files: ["web/*.js"],
    languageOptions: { globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error" },
  },
  { files: ["tests/**/*.mjs", "*.mjs"], languageOptions: { globals: globals.node } },
  { files: ["tests/**/*.js"], languageOptions: { sourceType: "commonjs", globals: globals.node } },
];
