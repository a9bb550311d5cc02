// Lets httpyac read the response references of VS Code's REST Client: {{name.response.body.$.path}}.
module.exports = {
  log: { level: 100 },
  configureHooks(api) {
    const reference = /\{\{\s*(\w+)\.response\.body\.\$\.([\w.[\]]+)\s*\}\}/g;
    const resolve = (text, variables) =>
      text.replace(reference, (_, name, path) => path.split(/[.[\]]+/).filter(Boolean).reduce((value, key) => value[key], variables[name]));
    api.hooks.replaceVariable.addInterceptor({
      id: "restClientReferences",
      beforeLoop: async (hook) => {
        const [text, , context] = hook.args;
        if (typeof text === "string") hook.args[0] = resolve(text, context.variables);
        return true;
      },
    });
  },
};
