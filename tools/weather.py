"""The weather now, from Open-Meteo (https://open-meteo.com/en/docs) or, marked as such, from made-up sample data."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from errors import ToolError
from settings import SettingsError
from tools.environment import ToolEnvironment
from tools.settings import ToolSettings
from tools.tool import Detail, Offline, Preference, ResultView, Tool, tool
from tools.weather_codes import CONDITIONS
from tools.weather_places import find_questions
from tools.weather_samples import SAMPLE_CONDITIONS, SAMPLE_PLACES

GEOCODING_URL = "https://geocoding-api.open-meteo.com/v1/search"
FORECAST_URL = "https://api.open-meteo.com/v1/forecast"
DEADLINE_SECONDS = 5.0
MAX_LOCATION_LENGTH = 100
Units = Literal["metric", "imperial"]
Location = Annotated[str, Field(description="A city or place, such as Seattle or Paris")]
UnitsParameter = Annotated[Units, Field(description="metric: °C and km/h; imperial: °F and mph")]
logger = logging.getLogger(__name__)

PROGRESS = {
    "en": "Looking up the weather in {location}…",
    "de": "Ich schlage das Wetter in {location} nach …",
    "es": "Consultando el tiempo en {location}…",
    "fr": "Consultation de la météo à {location}…",
}
RESULT_VIEW = ResultView(
    kind="figure",
    headline="{temperature} {unit}",
    caption=["{location}", "{country}"],
    details=[
        Detail(label={"en": "Now", "de": "Jetzt", "es": "Ahora", "fr": "Maintenant"}, value="{condition}"),
        Detail(label={"en": "Humidity", "de": "Luftfeuchtigkeit", "es": "Humedad", "fr": "Humidité"}, value="{humidity} %"),
        Detail(label={"en": "Wind", "de": "Wind", "es": "Viento", "fr": "Vent"}, value="{wind_speed} {wind_unit}"),
        Detail(label={"en": "Source", "de": "Quelle", "es": "Fuente", "fr": "Source"}, value="{source}"),
    ],
    icon_by="condition",
    icons={
        "thunder": "storm",
        "snow": "snow",
        "rain|drizzle|shower": "rain",
        "fog|mist": "fog",
        "partly": "partly",
        "cloud|overcast": "cloud",
        "clear|sun": "sun",
    },
)
UNITS = Preference(
    parameter="units",
    values={
        "metric": {
            "en": "From now on the weather comes in metric units.",
            "de": "Das Wetter kommt ab jetzt in metrischen Einheiten.",
            "es": "A partir de ahora doy el tiempo en unidades métricas.",
            "fr": "Je donne désormais la météo en unités métriques.",
        },
        "imperial": {
            "en": "From now on the weather comes in imperial units.",
            "de": "Das Wetter kommt ab jetzt in angloamerikanischen Einheiten.",
            "es": "A partir de ahora doy el tiempo en unidades imperiales.",
            "fr": "Je donne désormais la météo en unités impériales.",
        },
    },
    help={
        "en": "**/units imperial** or **/units metric** chooses the units of the weather.",
        "de": "**/units imperial** oder **/units metric** wählt die Einheiten des Wetters.",
        "es": "**/units imperial** o **/units metric** elige las unidades del tiempo.",
        "fr": "**/units imperial** ou **/units metric** choisit les unités de la météo.",
    },
)


class Weather(TypedDict):
    """What the tool returns; ``humidity`` in percent, ``observed_at`` in RFC 3339."""

    location: str
    country: str | None
    temperature: float
    unit: str
    condition: str
    humidity: int
    wind_speed: float
    wind_unit: str
    observed_at: str
    source: Literal["open-meteo", "sample"]


class WeatherSettings(ToolSettings):
    """Where the weather comes from."""

    weather_provider: Literal["open-meteo", "sample"] | None = Field(
        None, description="`open-meteo` or `sample` (made up); not set: `sample` with the offline model, else `open-meteo`"
    )


@asynccontextmanager
async def open_tools(environment: ToolEnvironment) -> AsyncIterator[list[Tool]]:
    """Yield the tool ``get_weather``.

    :raises SettingsError: if made-up weather would be told to real users.
    """
    chosen = environment.read(WeatherSettings).weather_provider
    if chosen == "sample" and environment.settings.website_site_name:
        raise SettingsError("WEATHER_PROVIDER: sample data is refused on Azure")
    if chosen == "sample" or (chosen is None and environment.settings.model_kind == "offline"):
        yield [as_tool(sample_weather)]
        return
    async with open_meteo() as service:
        yield [as_tool(service.weather)]


@asynccontextmanager
async def open_meteo(
    *,
    geocoding_url: str = GEOCODING_URL,
    forecast_url: str = FORECAST_URL,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> AsyncIterator[OpenMeteo]:
    """Yield the weather service, with one HTTP client for the life of the process."""
    import httpx2

    async with httpx2.AsyncClient(timeout=deadline_seconds) as client:
        yield OpenMeteo(client, geocoding_url, forecast_url, deadline_seconds)


def as_tool(source: Callable[[str, Units], Awaitable[Weather]]) -> Callable[[str, Units], Awaitable[Weather]]:
    """Make the tool that the model sees of a source of weather."""

    @tool(
        title={"en": "Weather", "de": "Wetter", "es": "Tiempo", "fr": "Météo"},
        icon="partly",
        progress=PROGRESS,
        subject="{location}",
        result=RESULT_VIEW,
        offline=Offline(skill="look up the weather", listen=find_questions, say=_say),
        preferences=(UNITS,),
    )
    async def get_weather(location: Location, units: UnitsParameter = "metric") -> Weather:
        """Look up the current weather of a place. Use this for any question about weather or temperature."""
        place = location.strip()
        if not any(character.isalpha() for character in place) or len(place) > MAX_LOCATION_LENGTH:
            raise ToolError("name a city or place")
        return await source(place, units)

    return get_weather


class OpenMeteo:
    """The weather service of https://open-meteo.com: no key needed."""

    def __init__(self, client: Any, geocoding_url: str, forecast_url: str, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds
        self._client = client
        self._geocoding_url = geocoding_url
        self._forecast_url = forecast_url

    async def weather(self, location: str, units: Units) -> Weather:
        """Return the weather of the best match for ``location``.

        :raises ToolError: if there is no such place, or the service is down, slow or not understood.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                place = await self._find(location)
                answer = await self._get(self._forecast_url, _forecast_parameters(place, units))
            return _as_weather(place, answer, units)
        except TimeoutError as error:
            raise ToolError("the weather service took too long") from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            logger.warning("the weather service's answer was not understood", exc_info=True)
            raise ToolError("the weather service is not available right now") from error

    async def _find(self, location: str) -> dict[str, Any]:
        query = {"name": location, "count": 1, "language": "en", "format": "json"}
        found = (await self._get(self._geocoding_url, query)).get("results")
        if not found:
            raise ToolError(f"no place called {location} was found")
        place: dict[str, Any] = found[0]
        return place

    async def _get(self, url: str, parameters: dict[str, Any]) -> dict[str, Any]:
        import httpx2

        try:
            response = await self._client.get(url, params=parameters)
            response.raise_for_status()
        except httpx2.TimeoutException as error:
            raise TimeoutError from error
        except httpx2.HTTPError as error:
            logger.warning("the weather service failed", exc_info=True)
            raise ToolError("the weather service is not available right now") from error
        answer = response.json()
        if not isinstance(answer, dict):
            raise TypeError("not an object")
        return answer


def _forecast_parameters(place: dict[str, Any], units: Units) -> dict[str, Any]:
    imperial = units == "imperial"
    return {
        "latitude": place["latitude"],
        "longitude": place["longitude"],
        "current": "temperature_2m,relative_humidity_2m,weather_code,wind_speed_10m",
        "temperature_unit": "fahrenheit" if imperial else "celsius",
        "wind_speed_unit": "mph" if imperial else "kmh",
        "timezone": "auto",
    }


def _as_weather(place: dict[str, Any], answer: dict[str, Any], units: Units) -> Weather:
    current = answer["current"]
    zone = timezone(timedelta(seconds=answer["utc_offset_seconds"]))
    return Weather(
        location=place["name"],
        country=place.get("country"),
        temperature=float(current["temperature_2m"]),
        unit=_temperature_unit(units),
        condition=CONDITIONS.get(current["weather_code"], "unknown"),
        humidity=round(current["relative_humidity_2m"]),
        wind_speed=float(current["wind_speed_10m"]),
        wind_unit=_wind_unit(units),
        observed_at=datetime.fromisoformat(current["time"]).replace(tzinfo=zone).isoformat(),
        source="open-meteo",
    )


async def sample_weather(location: str, units: Units) -> Weather:
    """Make up weather: always the same for a place, and marked as sample data."""
    digest = hashlib.sha256(location.casefold().encode()).digest()
    country, celsius = SAMPLE_PLACES.get(location.casefold(), (None, 5 + digest[0] % 20))
    kmh = 4 + digest[1] % 25
    imperial = units == "imperial"
    return Weather(
        location=location if location != location.lower() else location.title(),
        country=country,
        temperature=round(celsius * 9 / 5 + 32, 1) if imperial else float(celsius),
        unit=_temperature_unit(units),
        condition=CONDITIONS[SAMPLE_CONDITIONS[digest[2] % len(SAMPLE_CONDITIONS)]],
        humidity=40 + digest[3] % 50,
        wind_speed=round(kmh / 1.609344, 1) if imperial else float(kmh),
        wind_unit=_wind_unit(units),
        observed_at=datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat(),
        source="sample",
    )


def _temperature_unit(units: Units) -> str:
    return "°F" if units == "imperial" else "°C"


def _wind_unit(units: Units) -> str:
    return "mph" if units == "imperial" else "km/h"


def _say(_: Mapping[str, Any], value: Any) -> str:
    place = f"{value['location']}, {value['country']}" if value["country"] else value["location"]
    note = " (sample data)" if value["source"] == "sample" else ""
    weather = f"{value['temperature']:g} {value['unit']}, {value['condition']}, {value['humidity']} % humidity"
    return f"In {place} it is {weather}, wind at {value['wind_speed']:g} {value['wind_unit']}{note}."
