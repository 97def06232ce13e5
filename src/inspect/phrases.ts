/**
 * What texts say that want to command the agent which reads them. A phrase is no proof: it is logged and marked,
 * and blocked only where the operator chose so. English first, then the languages models follow as readily. Accents
 * are left out: a text with them is looked at without them too.
 *
 * The data is that of detectors, so the same sweep finds them, through the same disguises.
 */
import type { Detector } from "./detector.ts";

/** Between two words: white space, JSON's of it too, and what Markdown and comments put there. */
const GAP = String.raw`(?:\\[nrt]|[\s*_>#/.,:;"'\x60-]){1,6}`;

interface Phrase {
  readonly id: string;
  readonly title: string;
  /** One of them stands in every match, at its beginning. */
  readonly keywords: readonly string[];
  /** The words, one space for each gap. */
  readonly words: string;
}

const ALL = "(?:all |any |the |of |your |these |those |my |every ){0,4}";
const EARLIER = "(?:previous|prior|above|earlier|preceding|existing|original|system|former)";
const ORDERS =
  "(?:instructions?|prompts?|directions?|rules?|guidelines?|commands?|messages?|directives?|context)";

const ENGLISH: readonly Phrase[] = [
  {
    id: "ignore-instructions",
    title: "Ignore previous instructions",
    keywords: ["ignore", "disregard", "forget", "override", "bypass"],
    words: `(?:ignore|disregard|forget|override|bypass) ${ALL}${EARLIER} (?:and |or |the |above ){0,2}${ORDERS}`,
  },
  {
    id: "ignore-everything",
    title: "Forget everything you were told",
    keywords: ["ignore", "disregard", "forget"],
    words:
      "(?:ignore|disregard|forget) (?:everything|all|anything) (?:that )?(?:you (?:were|have been|was) told|above|before this)",
  },
  {
    id: "do-not-follow",
    title: "Do not follow your instructions",
    keywords: ["do not follow", "don't follow", "stop following"],
    words: `(?:do not|don't|stop) follow(?:ing)? ${ALL}(?:${EARLIER} )?${ORDERS}`,
  },
  {
    id: "new-instructions",
    title: "Your new instructions are",
    keywords: ["new instructions", "new system prompt", "updated instructions"],
    words: "(?:new|updated) (?:instructions|system prompt) (?:are|is|from|for you|follow|below)",
  },
  {
    id: "you-are-now",
    title: "You are now another assistant",
    keywords: ["you are now", "from now on"],
    words:
      "(?:you are now|from now on you (?:are|will|must)) (?:a |an |the |in |act |be |act as |respond as ){0,3}(?:dan|jailbroken|unrestricted|unfiltered|developer mode|evil|root|free from|no longer bound)",
  },
  {
    id: "no-restrictions",
    title: "Act without restrictions",
    keywords: [
      "without any restrictions",
      "no longer bound",
      "without any limitations",
      "free from all restrictions",
    ],
    words:
      "(?:without any (?:restrictions|limitations)|no longer bound by|free from all restrictions) (?:or |and |your |the |any |ethical |of |these ){0,3}(?:rules|guidelines|policies|filters|restrictions|limitations|openai|anthropic|you)",
  },
  {
    id: "reveal-prompt",
    title: "Reveal the system prompt",
    keywords: ["reveal", "print", "repeat", "output", "show me", "leak"],
    words:
      "(?:reveal|print|repeat|output|show me|leak) (?:me )?(?:your|the) (?:entire |full |whole |hidden |initial |original |secret ){0,3}(?:system prompt|system message|initial prompt|initial instructions|hidden instructions)",
  },
  {
    id: "reveal-secrets",
    title: "Send credentials somewhere",
    keywords: ["send", "post", "upload", "exfiltrate", "forward", "leak", "transmit"],
    words:
      "(?:send|post|upload|exfiltrate|forward|leak|transmit) (?:all |any |the |your |its |user's |my |every |contents? |of |users |their ){0,5}(?:api keys?|credentials|secrets|passwords|environment variables|env vars|access tokens?|ssh keys?|private keys?|cookies) (?:and |or |you |have |find |found |it |them |as |in |a |get ){0,5}(?:to|via|using|at|through) ",
  },
  {
    id: "hide-from-user",
    title: "Do not tell the user",
    keywords: [
      "do not tell",
      "don't tell",
      "do not mention",
      "don't mention",
      "do not inform",
      "never tell",
      "do not reveal",
      "without telling",
      "hide this from",
    ],
    words:
      "(?:do not|don't|never|without|hide) (?:tell|telling|mention|mentioning|inform|informing|reveal|revealing|this from) (?:this |it |any of |that |anything |to |about |the ){0,4}(?:user|human|operator|developer)",
  },
  {
    id: "concealed-role",
    title: "A forged turn of the conversation",
    keywords: ["<|im_start|>", "<|system|>", "[/inst]", "<<sys>>", "<|start_header_id|>", "<|endoftext|>"],
    words: String.raw`(?:<\|im_start\|>|<\|system\|>|\[/inst\]|<<sys>>|<\|start_header_id\|>|<\|endoftext\|>)(?:\\[nrt]|\s){0,4}(?:system|assistant|developer|ignore|you are|you must|new|\[inst\])`,
  },
  {
    id: "forged-system-message",
    title: "A forged message of the system",
    keywords: [
      "system override",
      "system alert",
      "admin override",
      "developer override",
      "begin system prompt",
      "system notice to",
    ],
    words:
      "(?:system (?:override|alert)|admin override|developer override|begin system prompt|system notice to) (?:code |mode |activated |enabled |engaged |the |all |ai |accepted |new |for |assistant |agent |assistants |agents |you |must |instructions |confirmed ){1,6}",
  },
  {
    id: "addressed-to-agents",
    title: "An order to whatever agent reads it",
    keywords: [
      "if you are an ai",
      "if you are a language model",
      "if you are an llm",
      "attention ai",
      "note to ai",
      "instructions for ai",
      "dear ai",
      "ai agents must",
      "message to the ai",
    ],
    words:
      "(?:if you are an? (?:ai|language model|llm)|attention ai|note to ai|instructions for ai|dear ai|ai agents must|message to the ai) (?:[a-z']{1,15} ){0,8}(?:must|should|please|ignore|execute|run|send|download|install|open|visit|delete|include)",
  },
  {
    id: "important-tag",
    title: "Hidden orders of a poisoned tool",
    keywords: ["<important>", "<system>", "<secret>", "<instructions>"],
    words: String.raw`<(?:important|system|secret|instructions)>(?:\\[nrt]|\s){0,8}(?:before|when|if|always|you|do not|don't|ignore|this tool|never|first) `,
  },
  {
    id: "run-this-now",
    title: "An order to run a downloaded program",
    keywords: [
      "you must run",
      "you must execute",
      "immediately run",
      "immediately execute",
      "run the following command",
    ],
    words: String.raw`(?:you must|immediately|run the following) (?:run|execute|command)[\s\S]{0,60}(?:curl|wget|bash -c|powershell|iex|base64 -d)`,
  },
  {
    id: "jailbreak-mode",
    title: "A jailbreak by name",
    keywords: ["do anything now", "developer mode enabled", "jailbreak mode", "god mode enabled", "dan mode"],
    words: "(?:do anything now|developer mode enabled|jailbreak mode|god mode enabled|dan mode)",
  },
  {
    id: "pretend-no-rules",
    title: "Pretend there are no rules",
    keywords: ["pretend", "imagine", "act as if", "roleplay as"],
    words:
      "(?:pretend|imagine|act as if|roleplay as) (?:that |you |are |have |there |were |an? |ai |with |had |as ){0,6}(?:no (?:restrictions|rules|guidelines|filters|limitations)|unrestricted ai|without (?:restrictions|rules|filters))",
  },
];

const OTHERS: readonly Phrase[] = [
  {
    id: "ignore-instructions-es",
    title: "Ignora las instrucciones anteriores (Spanish)",
    keywords: ["ignora", "olvida", "desestima"],
    words:
      "(?:ignora|ignore|olvida|desestima) (?:todas |las |tus |todo |mis |sus ){0,3}(?:instrucciones|ordenes|indicaciones|reglas) (?:anteriores|previas|del sistema|originales|recibidas)",
  },
  {
    id: "ignore-instructions-fr",
    title: "Ignorez les instructions précédentes (French)",
    keywords: ["ignore", "oublie"],
    words:
      "(?:ignore[zs]?|oublie[zs]?) (?:toutes |tous |les |tes |vos |ces ){0,3}(?:instructions|consignes|regles|ordres) (?:precedentes|precedents|anterieures|ci-dessus|du systeme|initiales)",
  },
  {
    id: "ignore-instructions-de",
    title: "Ignoriere alle vorherigen Anweisungen (German)",
    keywords: ["ignorier", "vergiss", "missachte"],
    words:
      "(?:ignoriere?n?|vergiss|missachte) (?:sie |alle |die |deine |ihre |bisherigen? ){0,3}(?:vorherigen|vorigen|bisherigen|obigen|fruheren|system) (?:anweisungen|instruktionen|befehle|regeln|vorgaben)",
  },
  {
    id: "ignore-instructions-pt",
    title: "Ignore as instruções anteriores (Portuguese)",
    keywords: ["ignor", "esqueca"],
    words:
      "(?:ignore|ignora|esqueca) (?:todas |as |suas |tuas |quaisquer ){0,3}(?:instrucoes|ordens|regras|orientacoes) (?:anteriores|previas|acima|do sistema)",
  },
  {
    id: "ignore-instructions-it",
    title: "Ignora le istruzioni precedenti (Italian)",
    keywords: ["ignora", "dimentica"],
    words:
      "(?:ignora|ignorate|dimentica) (?:tutte |le |tue |i |gli |queste ){0,3}(?:istruzioni|regole|ordini|indicazioni) (?:precedenti|di sistema|sopra|originali)",
  },
];

/** In scripts of their own: compared byte by byte, as UTF-8. */
const NATIVE: readonly (Phrase & { readonly all: readonly string[] })[] = [
  {
    id: "ignore-instructions-zh",
    title: "Ignore previous instructions (Chinese)",
    all: [
      "忽略之前的指令",
      "忽略以上指令",
      "忽略所有之前的指示",
      "忽略先前的指令",
      "忽略上述指令",
      "忽略前面的指令",
      "无视之前的指令",
      "忘记之前的指令",
      "忽略之前的所有指令",
      "忽略以上所有指令",
      "忽略所有指令",
      "忽略之前的指示",
      "忽略你之前的指令",
      "忽視之前的指令",
      "忽略先前的指示",
    ],
  },
  {
    id: "ignore-instructions-ja",
    title: "Ignore previous instructions (Japanese)",
    all: [
      "以前の指示を無視",
      "これまでの指示を無視",
      "前の指示を無視",
      "上記の指示を無視",
      "すべての指示を無視",
      "これまでの指示を忘れ",
      "以前の命令を無視",
      "上記の命令を無視",
    ],
  },
  {
    id: "ignore-instructions-ko",
    title: "Ignore previous instructions (Korean)",
    all: [
      "이전 지시를 무시",
      "이전 지시사항을 무시",
      "이전의 지시를 무시",
      "위의 지시를 무시",
      "모든 지시를 무시",
      "이전 명령을 무시",
      "지금까지의 지시를 무시",
    ],
  },
  {
    id: "ignore-instructions-ru",
    title: "Ignore previous instructions (Russian)",
    all: [
      "игнорируй предыдущие инструкции",
      "игнорируй все предыдущие",
      "забудь предыдущие инструкции",
      "забудь все предыдущие",
      "проигнорируй предыдущие",
      "игнорируйте предыдущие",
      "игнорируй системный промпт",
    ],
  },
].map((phrase) => ({ ...phrase, keywords: phrase.all, words: phrase.all.join("|") }));

export const PHRASES: readonly Detector[] = [
  ...[...ENGLISH, ...OTHERS].map(({ words, ...phrase }) =>
    detector(phrase, words.replaceAll(" ", GAP), true),
  ),
  ...NATIVE.map(({ words, ...phrase }) => detector(phrase, words, false)),
];

function detector(
  { id, title, keywords }: Omit<Phrase, "words">,
  pattern: string,
  ignoreCase: boolean,
): Detector {
  return {
    id,
    title,
    group: "generic",
    trigger: { kind: "keyword", keywords: keywords.map(asLatin1) },
    pattern: asLatin1(pattern),
    ignoreCase,
    source: "https://genai.owasp.org/llmrisk/llm01-prompt-injection/",
  };
}

/** The characters of UTF-8 as the scanner reads them, a byte each. */
function asLatin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}
