"""The commands that fix what is wrong with the model's service."""

from __future__ import annotations

from shlex import quote

from pydantic_core import to_json

from agent.llm.connection import AZURE_SCOPE, OPENAI_URL
from doctor.azure import account_name, account_options
from settings import Settings, without_credentials


class ModelFixes:
    """Commands for the service in the settings; ``principal`` is who a role would be missing for."""

    def __init__(self, settings: Settings, address: str, principal: str) -> None:
        self._settings = settings
        self._principal = principal
        self._address = address.rstrip("/")
        self._is_azure = settings.model_kind == "azure"
        self._list = _list_command(address)
        self._options = account_options("cognitiveservices account", settings.azure_openai_endpoint or "")

    def access(self) -> str:
        """Return what gives access: a key, or the role."""
        if not self._is_azure:
            return "export OPENAI_API_KEY=…  # a key that the service takes"
        if self._settings.azure_openai_api_key:
            keys = f"az cognitiveservices account keys list {self._options} --query key1 --output tsv"
            return f"{keys}  # and set AZURE_OPENAI_API_KEY to it"
        name = account_name(self._settings.azure_openai_endpoint or "")
        scope = f'"$(az cognitiveservices account list --query "[?name==\'{name}\'].id" --output tsv)"'
        role = f"--role 'Cognitive Services OpenAI User' --assignee-object-id {self._principal}"
        return f"az role assignment create {role} --scope {scope}"

    def model(self) -> str:
        """Return what lists the models that there are."""
        return self._choose("one of them that takes it")

    def tools(self) -> str:
        """Return what leads to a model that can call tools."""
        return self._choose(
            "one that can call tools; or start its server so that it does (llama.cpp: --jinja, vLLM: --enable-auto-tool-choice)"
        )

    def reasoning(self) -> str:
        """Return what leads to a model whose thoughts are told from its text."""
        return self._choose(
            "another; or start its server so that it tells them from the text (vLLM: --reasoning-parser, "
            "llama.cpp: --reasoning-format)"
        )

    def context(self, tokens: int | None) -> str:
        """Return the setting that fits a context of so many tokens: half of it, the rest is for instructions and answer."""
        larger = (
            "or give the server a larger context (Ollama: OLLAMA_CONTEXT_LENGTH, llama.cpp: --ctx-size, vLLM: --max-model-len)"
        )
        return f"export HISTORY_MAX_TOKENS={(tokens or 0) // 2}  # {larger}"

    def address(self) -> str:
        """Return what shows the right address, or what is at the one that is set."""
        if self._is_azure:
            show = f"az cognitiveservices account show {self._options} --query properties.endpoint --output tsv"
            return f"{show}  # and set AZURE_OPENAI_ENDPOINT to it"
        return f"{self._list}  # and correct OPENAI_BASE_URL"

    def question(self) -> str:
        """Return what shows how the model answers, whatever that is."""
        name = self._settings.model_name
        path, asked = "/chat/completions", {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
        if self._settings.model_api == "responses":
            path, asked = "/responses", {"model": name, "input": "Hi"}
        bearer = "$AZURE_OPENAI_API_KEY" if self._is_azure else "$OPENAI_API_KEY"
        if self._is_azure and not self._settings.azure_openai_api_key:
            bearer = f"$(az account get-access-token --scope {AZURE_SCOPE} --query accessToken --output tsv)"
        headers = f'-H "Authorization: Bearer {bearer}" -H "Content-Type: application/json"'
        command = f"curl -sS {quote(self._address + path)} {headers} -d {quote(to_json(asked).decode())}"
        return f"{command}  # what it answers; the server's log may say why"

    def quota(self) -> str:
        """Return what shows the quota."""
        if self._is_azure:
            name = quote(self._settings.model_name)
            return f"az cognitiveservices account deployment show {self._options} --deployment-name {name} --query sku"
        return f"{self._list}  # again later, or ask the service for a higher limit"

    def _choose(self, which: str) -> str:
        if self._is_azure:
            names = f"az cognitiveservices account deployment list {self._options} --query '[].name' --output tsv"
            return f"{names}  # and set AZURE_OPENAI_MODEL to {which}"
        return f"{self._list}  # and set OPENAI_MODEL to {which}"


def model_command(settings: Settings) -> str:
    """Return what shows whether a service that does not answer in time is there."""
    if settings.model_kind == "azure":
        return "az login"
    address = without_credentials(settings.openai_base_url or OPENAI_URL)
    return f"{_list_command(address)}  # and again: a server that loads its model first takes longer"


def _list_command(address: str) -> str:
    return f'curl -sS {quote(address.rstrip("/") + "/models")} -H "Authorization: Bearer $OPENAI_API_KEY"'
