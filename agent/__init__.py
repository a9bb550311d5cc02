"""The agent: picks among tools, calls the model, tells what it does as it goes."""
