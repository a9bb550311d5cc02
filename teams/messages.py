"""What the bot itself says, in the languages that it knows. Its first words and what it can do are the assistant's."""

from __future__ import annotations

from collections.abc import Mapping

from errors.callers import Limit

Strings = Mapping[str, str]

ENGLISH: Strings = {
    "help": "{help}\n\n**/new** starts a new conversation; I then forget this one. "
    "**/reset** also forgets what you have chosen.\n\n{preferences}"
    "**/help** shows this text.\n\n"
    "In a group, mention me and I answer.",
    "new": "A new conversation. What can I do for you?",
    "reset": "Start afresh",
    "working": "Working on it…",
    "stopped": "Stopped.",
    "busy": "There is too much to do right now. Please try again in a moment. (Reference: {request_id})",
    "refused": "The filter for harmful content refuses this conversation as it is. Ask in other words, or start afresh "
    "with /new. (Reference: {request_id})",
    "overflow": "This conversation has become too long for the model. Start afresh with /new. (Reference: {request_id})",
    "full": "This conversation holds as many messages as it may. Start afresh with /new. (Reference: {request_id})",
    "limit_requests": "Those were more messages than I may take in a minute. Please try again in a minute. "
    "(Reference: {request_id})",
    "limit_turns": "I am answering as many of these messages at once as I may. Please try again in a moment. "
    "(Reference: {request_id})",
    "limit_tokens": "What may be used in a day is used up. Please try again tomorrow. (Reference: {request_id})",
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
    "decide_elsewhere": "Please decide on the chat page, or write what I should do instead.",
    "allow": "Allow",
    "refuse": "Refuse",
    "allowed": "Allowed by {name}",
    "refused_by": "Refused by {name}",
    "decided": "This was decided already.",
    "expired": "The time to decide is over. Ask again, please.",
    "not_asked": "Only who has asked can decide this.",
    "rate_up": "What was good?",
    "rate_down": "What was wrong?",
    "rate_wrong": "It is not true",
    "rate_incomplete": "Something is missing",
    "rate_off_topic": "It is not what I asked",
    "rate_other": "Something else",
    "rate_comment": "In your words (optional)",
    "rate_send": "Send",
}
GERMAN: Strings = {
    "help": "{help}\n\n**/new** beginnt ein neues Gespräch; dieses vergesse ich dann. "
    "**/reset** vergisst auch, was du gewählt hast.\n\n{preferences}"
    "**/help** zeigt diesen Text.\n\n"
    "In einer Gruppe antworte ich, wenn du mich erwähnst.",
    "new": "Ein neues Gespräch. Was kann ich für dich tun?",
    "reset": "Neu beginnen",
    "working": "Ich arbeite daran …",
    "stopped": "Angehalten.",
    "busy": "Gerade ist zu viel zu tun. Bitte versuch es gleich noch einmal. (Kennung: {request_id})",
    "refused": "Der Filter für schädliche Inhalte lässt dieses Gespräch so nicht zu. Frag anders oder beginn neu mit /new. "
    "(Kennung: {request_id})",
    "overflow": "Dieses Gespräch ist für das Modell zu lang geworden. Beginn neu mit /new. (Kennung: {request_id})",
    "full": "Dieses Gespräch fasst keine Nachricht mehr. Beginn neu mit /new. (Kennung: {request_id})",
    "limit_requests": "Das waren mehr Nachrichten, als ich in einer Minute annehmen darf. Bitte versuch es in einer Minute "
    "noch einmal. (Kennung: {request_id})",
    "limit_turns": "Ich beantworte schon so viele dieser Nachrichten zugleich, wie ich darf. Bitte versuch es gleich noch "
    "einmal. (Kennung: {request_id})",
    "limit_tokens": "Was an einem Tag verbraucht werden darf, ist verbraucht. Bitte versuch es morgen noch einmal. "
    "(Kennung: {request_id})",
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
    "decide_elsewhere": "Bitte entscheide auf der Chat-Seite, oder schreib, was ich stattdessen tun soll.",
    "allow": "Erlauben",
    "refuse": "Ablehnen",
    "allowed": "Erlaubt von {name}",
    "refused_by": "Abgelehnt von {name}",
    "decided": "Das wurde schon entschieden.",
    "expired": "Die Zeit zum Entscheiden ist um. Bitte frag noch einmal.",
    "not_asked": "Das kann nur entscheiden, wer gefragt hat.",
    "rate_up": "Was war gut?",
    "rate_down": "Was war falsch?",
    "rate_wrong": "Es stimmt nicht",
    "rate_incomplete": "Es fehlt etwas",
    "rate_off_topic": "Danach habe ich nicht gefragt",
    "rate_other": "Etwas anderes",
    "rate_comment": "In deinen Worten (freiwillig)",
    "rate_send": "Senden",
}
SPANISH: Strings = {
    "help": "{help}\n\n**/new** empieza una conversación nueva; esta la olvido. "
    "**/reset** olvida también lo que elegiste.\n\n{preferences}"
    "**/help** muestra este texto.\n\n"
    "En un grupo, mencióname y respondo.",
    "new": "Una conversación nueva. ¿Qué puedo hacer por ti?",
    "reset": "Empezar de nuevo",
    "working": "Estoy en ello…",
    "stopped": "Detenido.",
    "busy": "Ahora mismo hay demasiado trabajo. Inténtalo de nuevo en un momento. (Referencia: {request_id})",
    "refused": "El filtro de contenidos dañinos no admite esta conversación tal como está. Pregunta de otra forma o empieza de "
    "nuevo con /new. (Referencia: {request_id})",
    "overflow": "Esta conversación es ya demasiado larga para el modelo. Empieza de nuevo con /new. (Referencia: {request_id})",
    "full": "En esta conversación no caben más mensajes. Empieza de nuevo con /new. (Referencia: {request_id})",
    "limit_requests": "Son más mensajes de los que puedo aceptar en un minuto. Inténtalo de nuevo dentro de un minuto. "
    "(Referencia: {request_id})",
    "limit_turns": "Ya respondo a la vez a tantos de estos mensajes como puedo. Inténtalo de nuevo en un momento. "
    "(Referencia: {request_id})",
    "limit_tokens": "Se ha gastado lo que se puede usar en un día. Inténtalo de nuevo mañana. (Referencia: {request_id})",
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
    "decide_elsewhere": "Decídelo en la página del chat, o escribe qué debo hacer en su lugar.",
    "allow": "Permitir",
    "refuse": "Rechazar",
    "allowed": "Permitido por {name}",
    "refused_by": "Rechazado por {name}",
    "decided": "Esto ya se decidió.",
    "expired": "El plazo para decidir ha terminado. Pregunta otra vez.",
    "not_asked": "Solo puede decidirlo quien lo pidió.",
    "rate_up": "¿Qué estuvo bien?",
    "rate_down": "¿Qué estuvo mal?",
    "rate_wrong": "No es cierto",
    "rate_incomplete": "Falta algo",
    "rate_off_topic": "No es lo que pregunté",
    "rate_other": "Otra cosa",
    "rate_comment": "Con tus palabras (opcional)",
    "rate_send": "Enviar",
}
FRENCH: Strings = {
    "help": "{help}\n\n**/new** commence une nouvelle conversation ; j’oublie alors celle-ci. "
    "**/reset** oublie aussi vos choix.\n\n{preferences}"
    "**/help** affiche ce texte.\n\n"
    "Dans un groupe, mentionnez-moi et je réponds.",
    "new": "Une nouvelle conversation. Que puis-je faire pour vous ?",
    "reset": "Recommencer",
    "working": "J’y travaille…",
    "stopped": "Arrêté.",
    "busy": "Il y a trop à faire en ce moment. Réessayez dans un instant. (Référence : {request_id})",
    "refused": "Le filtre des contenus nuisibles refuse cette conversation telle quelle. Posez la question autrement ou "
    "recommencez avec /new. (Référence : {request_id})",
    "overflow": "Cette conversation est devenue trop longue pour le modèle. Recommencez avec /new. (Référence : {request_id})",
    "full": "Cette conversation ne peut plus recevoir de messages. Recommencez avec /new. (Référence : {request_id})",
    "limit_requests": "C’est plus de messages que je ne peux en prendre en une minute. Réessayez dans une minute. "
    "(Référence : {request_id})",
    "limit_turns": "Je réponds déjà à autant de ces messages à la fois que je le peux. Réessayez dans un instant. "
    "(Référence : {request_id})",
    "limit_tokens": "Ce qui peut être utilisé en un jour l’est. Réessayez demain. (Référence : {request_id})",
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
    "decide_elsewhere": "Décidez-le sur la page du chat, ou écrivez ce que je dois faire à la place.",
    "allow": "Autoriser",
    "refuse": "Refuser",
    "allowed": "Autorisé par {name}",
    "refused_by": "Refusé par {name}",
    "decided": "C’est déjà décidé.",
    "expired": "Le délai pour décider est passé. Redemandez, s’il vous plaît.",
    "not_asked": "Seule la personne qui a demandé peut décider.",
    "rate_up": "Qu’est-ce qui était bien ?",
    "rate_down": "Qu’est-ce qui n’allait pas ?",
    "rate_wrong": "Ce n’est pas vrai",
    "rate_incomplete": "Il manque quelque chose",
    "rate_off_topic": "Ce n’est pas ma question",
    "rate_other": "Autre chose",
    "rate_comment": "Dans vos mots (facultatif)",
    "rate_send": "Envoyer",
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
    "context_overflow": "overflow",
    "thread_full": "full",
}


def strings_for(locale: str | None) -> Strings:
    """Return the words for a locale such as ``de-AT``; English where the language is not known."""
    return LANGUAGES.get((locale or "").replace("_", "-").partition("-")[0].lower(), ENGLISH)


def language_of(strings: Strings) -> str:
    """Return the language of these words."""
    return next(language for language, each in LANGUAGES.items() if each is strings)


def problem_text(strings: Strings, type: str, request_id: str, limit: Limit | None = None) -> str:
    """Say kindly that a turn has failed, and which ``limit`` was met; ``request_id`` leads the operator to the reason."""
    words = f"limit_{limit}" if limit else PROBLEM_WORDS.get(type, "failed")
    return strings[words].format(request_id=request_id)
