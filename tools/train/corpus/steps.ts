/**
 * School arithmetic, written out: for each operation the steps a child would write, in English or Chinese.
 *
 * Pure. The steps ARE the reasoning the model learns, so every step must be derivable from the text before it by
 * one single-digit fact or by copying. That is why additions go from the ones upwards and carries are spelled out.
 */
export type Language = "en" | "zh";

const PLACES: Record<Language, readonly string[]> = {
  en: ["Ones", "Tens", "Hundreds", "Thousands", "Ten thousands", "Hundred thousands"],
  zh: ["个位", "十位", "百位", "千位", "万位", "十万位"],
};

interface Words {
  readonly colon: string;
  readonly comma: string;
  readonly end: string;
  readonly carry: string;
  readonly borrow: string;
  readonly remainder: string;
  readonly negative: string;
}

const WORDS: Record<Language, Words> = {
  en: {
    colon: ": ",
    comma: ", ",
    end: ". ",
    carry: "carry ",
    borrow: "borrow",
    remainder: "remainder ",
    negative: "so the result is negative",
  },
  zh: {
    colon: "：",
    comma: "，",
    end: "。",
    carry: "进",
    borrow: "借1",
    remainder: "余",
    negative: "所以结果是负数",
  },
};

const digit = (n: number, place: number): number => Math.floor(n / 10 ** place) % 10;
const length = (n: number): number => String(n).length;
const place = (language: Language, i: number): string => PLACES[language][i] ?? `10^${i}`;

/** a + b, both >= 0. */
export function add(a: number, b: number, language: Language): string {
  const w = WORDS[language];
  if (a < 10 && b < 10) return `${a}+${b}=${a + b}${w.end}`;
  let text = "";
  let carry = 0;
  const columns = Math.max(length(a), length(b));
  for (let i = 0; i < columns; i++) {
    const sum = digit(a, i) + digit(b, i) + carry;
    text += `${place(language, i)}${w.colon}${digit(a, i)}+${digit(b, i)}${carry === 1 ? "+1" : ""}=${sum}`;
    carry = sum >= 10 ? 1 : 0;
    text += carry === 1 && i < columns - 1 ? `${w.comma}${w.carry}1${w.end}` : w.end;
  }
  return `${text}${a}+${b}=${a + b}${w.end}`;
}

/** a - b, both >= 0; a smaller a is turned round first. */
export function subtract(a: number, b: number, language: Language): string {
  const w = WORDS[language];
  if (a < b) {
    return `${a}<${b}${w.comma}${w.negative}${w.end}${subtract(b, a, language)}${a}-${b}=${a - b}${w.end}`;
  }
  if (a < 10) return `${a}-${b}=${a - b}${w.end}`;
  let text = "";
  let borrow = 0;
  for (let i = 0; i < length(a); i++) {
    const short = digit(a, i) - digit(b, i) - borrow < 0;
    const tail = `-${digit(b, i)}${borrow === 1 ? "-1" : ""}`;
    text += `${place(language, i)}${w.colon}${digit(a, i)}${tail}`;
    const top = digit(a, i) + (short ? 10 : 0);
    if (short) text += `<0${w.comma}${w.borrow}${w.comma}${top}${tail}`;
    text += `=${top - digit(b, i) - borrow}${w.end}`;
    borrow = short ? 1 : 0;
  }
  return `${text}${a}-${b}=${a - b}${w.end}`;
}

/** a * d with one digit d: the same columns as addition, the carry added in a step of its own. */
function multiplyByDigit(a: number, d: number, language: Language): string {
  const w = WORDS[language];
  if (a < 10) return `${a}*${d}=${a * d}${w.end}`;
  let text = "";
  let carry = 0;
  for (let i = 0; i < length(a); i++) {
    const product = digit(a, i) * d;
    const sum = product + carry;
    text += `${place(language, i)}${w.colon}${digit(a, i)}*${d}=${product}`;
    if (carry > 0) text += `${w.comma}${product}+${carry}=${sum}`;
    carry = Math.floor(sum / 10);
    text += carry > 0 && i < length(a) - 1 ? `${w.comma}${w.carry}${carry}${w.end}` : w.end;
  }
  return `${text}${a}*${d}=${a * d}${w.end}`;
}

/** a * b, both >= 0; by the digits of b, then one addition. */
export function multiply(a: number, b: number, language: Language): string {
  const w = WORDS[language];
  if (b < 10) return multiplyByDigit(a, b, language);
  if (a < 10) return `${a}*${b}=${b}*${a}${w.end}${multiplyByDigit(b, a, language)}`;
  const ones = b % 10;
  const tens = Math.floor(b / 10);
  const low = a * ones;
  const high = a * tens;
  return (
    `${a}*${b}=${a}*${ones}+${a}*${tens}0${w.end}${multiplyByDigit(a, ones, language)}` +
    `${multiplyByDigit(a, tens, language)}${a}*${tens}0=${high}0${w.end}` +
    `${add(low, high * 10, language)}${a}*${b}=${a * b}${w.end}`
  );
}

/** a / d with one digit d: digits brought down one after another. */
export function divide(a: number, d: number, language: Language): string {
  const w = WORDS[language];
  let text = "";
  let rest = 0;
  for (const c of String(a)) {
    const part = rest * 10 + Number(c);
    rest = part % d;
    text += `${part}/${d}=${Math.floor(part / d)}${w.comma}${w.remainder}${rest}${w.end}`;
  }
  return `${text}${quotient(a, d, language, "/")}${w.end}`;
}

/** `7/2=3, remainder 1`, or without the remainder where there is none. */
export function quotient(a: number, d: number, language: Language, sign: string): string {
  const w = WORDS[language];
  const rest = a % d;
  return `${a}${sign}${d}=${Math.floor(a / d)}${rest > 0 ? `${w.comma}${w.remainder}${rest}` : ""}`;
}
