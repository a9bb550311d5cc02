"""The agent's tools: one file each, named in ``assistant/assistant.toml``.

A tool is a function with the decorator :func:`tools.tool.tool`, whose docstring tells the model when to call it and whose
parameters are described with ``Annotated[…, Field(description=…)]``. It returns anything that is JSON and raises
:class:`~errors.ToolError`, in plain words, when it cannot do what was asked. What an answer may cite is returned as a list of
:class:`~tools.tool.Source`. Where something has to be opened first, the file has an async context manager
``open_tools(environment)`` (:class:`tools.environment.ToolEnvironment`) that yields a list of tools.
``docs/your-first-tool.md`` leads through all of it.
"""
