"""The model's service: its address and API, the credentials, and the model or deployment itself."""

from __future__ import annotations

import time
from shlex import quote

import httpx2
import openai

from agent.llm.openai_client import PATH, OpenAIClient, open_openai_client
from doctor.azure import account_name, account_options
from doctor.findings import Finding
from identity.azure_credential import AzureCredential
from settings import Settings, without_credentials


class ModelDoctor:
    """Examines the service in the settings; ``principal`` is who the role is missing for, if it is."""

    def __init__(self, settings: Settings, credential: AzureCredential, principal: str) -> None:
        self._settings = settings
        self._credential = credential
        self._principal = principal
        self._is_azure = settings.model_kind == "azure"

    async def check(self) -> list[Finding]:
        """Ask for the list of models, then the model for an answer of a word."""
        if self._settings.model_kind == "offline":
            return [Finding("model", "offline: answers by rules")]
        async with open_openai_client(self._settings, self._credential) as client:
            address = without_credentials(str(client.base_url))
            try:
                await client.get("/models", cast_to=httpx2.Response, options={"max_retries": 0})
            except Exception as error:  # noqa: BLE001 - told by its type or status
                return [self._fault(error, address, model_asked=False)]
            api = " (the v1 API, which has no api-version)" if self._is_azure else ""
            return [Finding("model", f"{address} answers{api}"), await self._check_answer(client, address)]

    async def _check_answer(self, client: OpenAIClient, address: str) -> Finding:
        name = self._settings.model_name
        body = {"model": name, "messages": [{"role": "user", "content": "Say OK."}]}
        started = time.perf_counter()
        try:
            await client.post(PATH, body=body, cast_to=httpx2.Response, options={"max_retries": 0})
        except Exception as error:  # noqa: BLE001 - told by its type or status
            return self._fault(error, address, model_asked=True)
        return Finding("model", f"{name} answered after {time.perf_counter() - started:.1f} s")

    def _fault(self, error: Exception, address: str, *, model_asked: bool) -> Finding:
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if status in (401, 403):
            return Finding("model", f"access is denied ({status})", self._mend_access())
        if status == 404:
            if model_asked:
                what = f"{'deployment' if self._is_azure else 'model'} {self._settings.model_name}"
                return Finding("model", f"there is no {what} (404)", self._mend_model(address))
            return Finding("model", f"{address} has no such API (404)", self._mend_address(address))
        if status == 429:
            return Finding("model", "its quota is used up (429)", self._mend_quota(address))
        told = f"status {status}" if status else type(error).__name__
        return Finding(
            "model", f"{address} cannot be used ({told}): check the address and the network", self._mend_address(address)
        )

    def _options(self) -> str:
        return account_options("cognitiveservices account", self._settings.azure_openai_endpoint or "")

    def _mend_access(self) -> str:
        if not self._is_azure:
            return "export OPENAI_API_KEY=…  # a key that the service takes"
        if self._settings.azure_openai_api_key:
            keys = f"az cognitiveservices account keys list {self._options()} --query key1 --output tsv"
            return f"{keys}  # and set AZURE_OPENAI_API_KEY to it"
        name = account_name(self._settings.azure_openai_endpoint or "")
        scope = f'"$(az cognitiveservices account list --query "[?name==\'{name}\'].id" --output tsv)"'
        role = f"--role 'Cognitive Services OpenAI User' --assignee-object-id {self._principal}"
        return f"az role assignment create {role} --scope {scope}"

    def _mend_model(self, address: str) -> str:
        if self._is_azure:
            names = f"az cognitiveservices account deployment list {self._options()} --query '[].name' --output tsv"
            return f"{names}  # and set AZURE_OPENAI_MODEL to one of them"
        return f"{_curl(address)}  # and set OPENAI_MODEL to one of them"

    def _mend_address(self, address: str) -> str:
        if self._is_azure:
            show = f"az cognitiveservices account show {self._options()} --query properties.endpoint --output tsv"
            return f"{show}  # and set AZURE_OPENAI_ENDPOINT to it"
        return f"{_curl(address)}  # and correct OPENAI_BASE_URL"

    def _mend_quota(self, address: str) -> str:
        if self._is_azure:
            name = quote(self._settings.model_name)
            return f"az cognitiveservices account deployment show {self._options()} --deployment-name {name} --query sku"
        return f"{_curl(address)}  # again later, or ask the service for a higher limit"


def _curl(address: str) -> str:
    return f'curl -sS {quote(address + "models")} -H "Authorization: Bearer $OPENAI_API_KEY"'
