"""The agent's tools: one file each, listed in ``registry.py``.

A tool is a function whose docstring tells the model when to call it and whose parameters are described with
``Annotated[…, Field(description=…)]``. It returns anything that is JSON and raises :class:`~errors.ToolError`, in plain words,
when it cannot do what was asked. What an answer may cite is returned as a list of :class:`~tools.tool.Source`. One that needs
something opened is yielded by an async context manager. How it is shown, and what the offline model makes of it, stands in its
decorator (:func:`tools.tool.tool`).
"""
