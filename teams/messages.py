"""What the bot itself says, in the languages that it knows. Its first words and what it can do are the assistant's."""

from __future__ import annotations

from collections.abc import Mapping

Strings = Mapping[str, str]

ENGLISH: Strings = {
    "help": "{help}\n\n**/new** starts a new conversation; I then forget this one.\n\n{preferences}"
    "**/help** shows this text.\n\n"
    "In a group, mention me and I answer.",
    "new": "A new conversation. What can I do for you?",
    "working": "Working on it…",
    "stopped": "Stopped.",
    "busy": "There is too much to do right now. Please try again in a moment. (Reference: {request_id})",
    "refused": "I cannot answer this conversation as it is. Ask in other words, or start afresh with /new. "
    "(Reference: {request_id})",
    "failed": "Sorry, something went wrong. Your message is kept; please try again. (Reference: {request_id})",
    "lost": "Sorry, I could not answer your message, although I tried several times. (Reference: {request_id})",
    "kept": "My answer could not be shown here. It is kept in our conversation: ask me to repeat it in fewer words. "
    "(Reference: {request_id})",
    "too_long": "That is too long for me: at most {limit} characters, please.",
    "empty": "I can only read text. What would you like to know?",
    "unread": "I did not read {files}: I can only read text.",
    "edited": "Correction of an earlier message of mine: {text}",
    "asks": "Shall I?",
    "may_i": "May I use **{tool}**?",
    "allow": "Allow",
    "refuse": "Refuse",
    "allowed": "Allowed by {name}",
    "refused_by": "Refused by {name}",
    "decided": "This was decided already.",
    "expired": "The time to decide is over. Ask again, please.",
    "not_asked": "Only who has asked can decide this.",
}
GERMAN: Strings = {
    "help": "{help}\n\n**/new** beginnt ein neues Gespräch; dieses vergesse ich dann.\n\n{preferences}"
    "**/help** zeigt diesen Text.\n\n"
    "In einer Gruppe antworte ich, wenn du mich erwähnst.",
    "new": "Ein neues Gespräch. Was kann ich für dich tun?",
    "working": "Ich arbeite daran …",
    "stopped": "Angehalten.",
    "busy": "Gerade ist zu viel zu tun. Bitte versuch es gleich noch einmal. (Kennung: {request_id})",
    "refused": "Auf dieses Gespräch kann ich so nicht antworten. Frag anders oder beginn neu mit /new. (Kennung: {request_id})",
    "failed": "Entschuldige, etwas ist schiefgegangen. Deine Nachricht ist gespeichert; bitte versuch es noch einmal. "
    "(Kennung: {request_id})",
    "lost": "Entschuldige, ich konnte deine Nachricht trotz mehrerer Versuche nicht beantworten. (Kennung: {request_id})",
    "kept": "Meine Antwort ließ sich hier nicht anzeigen. Sie steht in unserem Gespräch; bitte mich um eine kürzere. "
    "(Kennung: {request_id})",
    "too_long": "Das ist zu lang für mich: bitte höchstens {limit} Zeichen.",
    "empty": "Ich kann nur Text lesen. Was möchtest du wissen?",
    "unread": "Nicht gelesen habe ich {files}: Ich kann nur Text lesen.",
    "edited": "Korrektur einer früheren Nachricht von mir: {text}",
    "asks": "Soll ich?",
    "may_i": "Darf ich **{tool}** benutzen?",
    "allow": "Erlauben",
    "refuse": "Ablehnen",
    "allowed": "Erlaubt von {name}",
    "refused_by": "Abgelehnt von {name}",
    "decided": "Das wurde schon entschieden.",
    "expired": "Die Zeit zum Entscheiden ist um. Bitte frag noch einmal.",
    "not_asked": "Das kann nur entscheiden, wer gefragt hat.",
}
SPANISH: Strings = {
    "help": "{help}\n\n**/new** empieza una conversación nueva; esta la olvido.\n\n{preferences}"
    "**/help** muestra este texto.\n\n"
    "En un grupo, mencióname y respondo.",
    "new": "Una conversación nueva. ¿Qué puedo hacer por ti?",
    "working": "Estoy en ello…",
    "stopped": "Detenido.",
    "busy": "Ahora mismo hay demasiado trabajo. Inténtalo de nuevo en un momento. (Referencia: {request_id})",
    "refused": "No puedo responder a esta conversación tal como está. Pregunta de otra forma o empieza de nuevo con /new. "
    "(Referencia: {request_id})",
    "failed": "Lo siento, algo ha salido mal. Tu mensaje está guardado; inténtalo de nuevo. (Referencia: {request_id})",
    "lost": "Lo siento, no pude responder a tu mensaje tras varios intentos. (Referencia: {request_id})",
    "kept": "No he podido mostrar aquí mi respuesta. Se guarda en nuestra conversación: pídeme que la repita más breve. "
    "(Referencia: {request_id})",
    "too_long": "Es demasiado largo para mí: como máximo {limit} caracteres.",
    "empty": "Solo puedo leer texto. ¿Qué quieres saber?",
    "unread": "No he leído {files}: solo puedo leer texto.",
    "edited": "Corrección de un mensaje mío anterior: {text}",
    "asks": "¿Lo hago?",
    "may_i": "¿Puedo usar **{tool}**?",
    "allow": "Permitir",
    "refuse": "Rechazar",
    "allowed": "Permitido por {name}",
    "refused_by": "Rechazado por {name}",
    "decided": "Esto ya se decidió.",
    "expired": "El plazo para decidir ha terminado. Pregunta otra vez.",
    "not_asked": "Solo puede decidirlo quien lo pidió.",
}
FRENCH: Strings = {
    "help": "{help}\n\n**/new** commence une nouvelle conversation ; j’oublie alors celle-ci.\n\n{preferences}"
    "**/help** affiche ce texte.\n\n"
    "Dans un groupe, mentionnez-moi et je réponds.",
    "new": "Une nouvelle conversation. Que puis-je faire pour vous ?",
    "working": "J’y travaille…",
    "stopped": "Arrêté.",
    "busy": "Il y a trop à faire en ce moment. Réessayez dans un instant. (Référence : {request_id})",
    "refused": "Je ne peux pas répondre à cette conversation telle quelle. Demandez autrement ou recommencez avec /new. "
    "(Référence : {request_id})",
    "failed": "Désolé, une erreur s’est produite. Votre message est conservé ; veuillez réessayer. (Référence : {request_id})",
    "lost": "Désolé, je n’ai pas pu répondre à votre message malgré plusieurs essais. (Référence : {request_id})",
    "kept": "Ma réponse n’a pas pu être affichée ici. Elle est conservée dans notre conversation : demandez-moi de la "
    "répéter plus brièvement. (Référence : {request_id})",
    "too_long": "C’est trop long pour moi : {limit} caractères au plus, s’il vous plaît.",
    "empty": "Je ne sais lire que du texte. Que voulez-vous savoir ?",
    "unread": "Je n’ai pas lu {files} : je ne sais lire que du texte.",
    "edited": "Correction d’un de mes messages : {text}",
    "asks": "Puis-je ?",
    "may_i": "Puis-je utiliser **{tool}** ?",
    "allow": "Autoriser",
    "refuse": "Refuser",
    "allowed": "Autorisé par {name}",
    "refused_by": "Refusé par {name}",
    "decided": "C’est déjà décidé.",
    "expired": "Le délai pour décider est passé. Redemandez, s’il vous plaît.",
    "not_asked": "Seule la personne qui a demandé peut décider.",
}
LANGUAGES: Mapping[str, Strings] = {"en": ENGLISH, "de": GERMAN, "es": SPANISH, "fr": FRENCH}
# What a problem's type means to somebody who chats; any other type is a failure.
PROBLEM_WORDS = {
    "rate_limited": "busy",
    "busy": "busy",
    "turn_in_progress": "busy",
    "model_throttled": "busy",
    "store_unavailable": "busy",
    "content_filtered": "refused",
    "context_overflow": "refused",
    "thread_full": "refused",
}


def strings_for(locale: str | None) -> Strings:
    """Return the words for a locale such as ``de-AT``; English where the language is not known."""
    return LANGUAGES.get((locale or "").replace("_", "-").partition("-")[0].lower(), ENGLISH)


def language_of(strings: Strings) -> str:
    """Return the language of these words."""
    return next(language for language, each in LANGUAGES.items() if each is strings)


def problem_text(strings: Strings, type: str, request_id: str) -> str:
    """Say kindly that a turn has failed; ``request_id`` leads the operator to the reason."""
    return strings[PROBLEM_WORDS.get(type, "failed")].format(request_id=request_id)
