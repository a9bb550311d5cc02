"""The weather tool, on a server that speaks Open-Meteo's protocol, and on sample data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from errors import ToolError
from settings import Settings, SettingsError
from tests.fakes.weather import FakeOpenMeteo, fake_open_meteo
from tests.support.assistant_folder import HARBOUR
from tools.environment import ToolEnvironment
from tools.tool import spec_of
from tools.weather import as_tool, open_meteo, open_tools, sample_weather
from tools.weather_codes import CONDITIONS


@pytest.fixture
async def service() -> AsyncIterator[FakeOpenMeteo]:
    async with fake_open_meteo() as service:
        yield service


async def ask(service: FakeOpenMeteo, *arguments: Any, deadline_seconds: float = 5) -> Any:
    opening = open_meteo(
        geocoding_url=f"{service.url}/v1/search",
        forecast_url=f"{service.url}/v1/forecast",
        deadline_seconds=deadline_seconds,
    )
    async with opening as open_meteo_service:
        get_weather: Any = as_tool(open_meteo_service.weather)
        return await get_weather(*arguments)


async def test_a_place_is_found_and_its_weather_told(service: FakeOpenMeteo) -> None:
    assert await ask(service, " Seattle ") == {
        "location": "Seattle",
        "country": "United States",
        "temperature": 11.4,
        "unit": "°C",
        "condition": "light rain",
        "humidity": 81,
        "wind_speed": 14.2,
        "wind_unit": "km/h",
        "observed_at": "2026-01-01T02:30:00-08:00",
        "source": "open-meteo",
    }
    (search, place), (forecast, query) = service.requests
    assert (search, place["name"], forecast) == ("/v1/search", "Seattle", "/v1/forecast")
    assert (query["latitude"], query["longitude"], query["temperature_unit"]) == ("47.6", "-122.3", "celsius")


async def test_imperial_units_are_asked_for_and_named(service: FakeOpenMeteo) -> None:
    weather = await ask(service, "Seattle", "imperial")
    assert (weather["temperature"], weather["unit"], weather["wind_speed"], weather["wind_unit"]) == (52.5, "°F", 8.8, "mph")


async def test_an_unknown_place_is_told(service: FakeOpenMeteo) -> None:
    with pytest.raises(ToolError, match="no place called Nowhereville"):
        await ask(service, "Nowhereville")


@pytest.mark.parametrize("location", ["", "  ", "123", "!?", "x" * 101])
async def test_what_is_no_place_is_not_looked_up(service: FakeOpenMeteo, location: str) -> None:
    with pytest.raises(ToolError, match="name a city"):
        await ask(service, location)
    assert service.requests == []


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_a_service_that_is_down_is_told(service: FakeOpenMeteo, status: int) -> None:
    service.status = status
    with pytest.raises(ToolError, match="not available right now"):
        await ask(service, "Seattle")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"results": [{}]}', b'{"results": [{"latitude": 1, "longitude": 2}]}'])
async def test_an_answer_that_is_not_understood_is_told(service: FakeOpenMeteo, body: bytes) -> None:
    service.body = body
    with pytest.raises(ToolError, match="not available right now"):
        await ask(service, "Seattle")


async def test_a_service_that_cannot_be_reached_is_told() -> None:
    nowhere = FakeOpenMeteo()
    nowhere.url = "http://127.0.0.1:9"
    with pytest.raises(ToolError, match="not available right now"):
        await ask(nowhere, "Seattle")


async def test_a_slow_service_is_cut_off(service: FakeOpenMeteo) -> None:
    service.gate = asyncio.Event()
    with pytest.raises(ToolError, match="took too long"):
        await ask(service, "Seattle", deadline_seconds=0.05)
    service.gate.set()


async def test_sample_data_is_always_the_same_and_says_what_it_is() -> None:
    get_weather: Any = as_tool(sample_weather)
    weather = await get_weather("seattle")
    assert weather == await get_weather("seattle", "metric")
    assert (weather["location"], weather["country"], weather["source"]) == ("Seattle", "United States", "sample")
    imperial = await get_weather("Seattle", "imperial")
    assert imperial["temperature"] == round(weather["temperature"] * 9 / 5 + 32, 1)
    unheard_of = await get_weather("Little Whinging", "metric")
    assert (unheard_of["location"], unheard_of["country"], unheard_of["source"]) == ("Little Whinging", None, "sample")


async def test_all_condition_codes_have_words() -> None:
    assert len(CONDITIONS) == 28
    assert all(CONDITIONS.values())


@pytest.mark.parametrize(
    ("model", "provider", "source"),
    [({}, "", "sample"), ({"openai_base_url": "http://127.0.0.1:9/v1", "openai_model": "m"}, "sample", "sample")],
)
async def test_made_up_weather_comes_offline_or_on_demand(
    monkeypatch: pytest.MonkeyPatch, model: dict[str, str], provider: str, source: str
) -> None:
    monkeypatch.setenv("WEATHER_PROVIDER", provider)
    async with open_tools(ToolEnvironment(Settings.model_validate(model), HARBOUR)) as [get_weather]:
        assert (await get_weather("Oslo"))["source"] == source


async def test_made_up_weather_is_refused_on_azure_and_a_wrong_provider_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_PROVIDER", "sample")
    with pytest.raises(SettingsError, match="WEATHER_PROVIDER: sample data is refused on Azure"):
        async with open_tools(ToolEnvironment(Settings.model_construct(website_site_name="func"), HARBOUR)):
            pass
    monkeypatch.setenv("WEATHER_PROVIDER", "guess")
    with pytest.raises(SettingsError, match="WEATHER_PROVIDER: Input should be"):
        async with open_tools(ToolEnvironment(Settings(), HARBOUR)):
            pass


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        ("What's the weather in Tokyo?", [{"location": "Tokyo"}]),
        ("What is the weather in Seattle and what is a 15% tip on $85?", [{"location": "Seattle"}]),
        ("weather in Paris and what's 18% tip on €75?", [{"location": "Paris"}]),
        ("is it raining in New York?", [{"location": "New York"}]),
        ("Tokyo weather please", [{"location": "Tokyo"}]),
        ("weather in Paris and London", [{"location": "Paris"}, {"location": "London"}]),
        ("temperature in Oslo in fahrenheit", [{"location": "Oslo", "units": "imperial"}]),
        ("What happened in Paris?", []),
        ("weather " + "A-" * 900, []),
    ],
)
def test_the_offline_model_hears_the_places_that_are_asked_for(question: str, calls: list[dict[str, str]]) -> None:
    offline = spec_of(as_tool(sample_weather)).offline
    assert offline
    assert list(offline.listen(question, [])) == calls


def test_the_offline_model_hears_a_follow_up() -> None:
    offline = spec_of(as_tool(sample_weather)).offline
    assert offline
    assert list(offline.listen("and in Oslo?", ["What's the weather in Paris?"])) == [{"location": "Oslo"}]
    assert list(offline.listen("and in Oslo?", ["Who are you?"])) == []
