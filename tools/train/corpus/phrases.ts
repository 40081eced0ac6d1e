/**
 * The ways people ask for arithmetic: phrasings in English and Chinese with `{e}` (an expression) or `{a}`, `{b}`.
 *
 * Many short forms beat a few long ones: the model must find the numbers wherever they stand, so variety here is
 * what lets a phrasing that is not on the list work too.
 */
import type { Language } from "./steps.ts";

/** A bare `17+25` counts as English: nothing in it says which language to answer in. */
export const EXPRESSION: Record<Language, readonly string[]> = {
  en: [
    "{e}",
    "{e}=",
    "{e} =",
    "{e}=?",
    "{e} = ?",
    "{e}?",
    "What is {e}?",
    "what is {e}",
    "What's {e}?",
    "whats {e}",
    "Compute {e}.",
    "Compute {e}",
    "compute {e}",
    "Calculate {e}.",
    "Calculate {e}",
    "calculate: {e}",
    "Please calculate {e}.",
    "Can you compute {e}?",
    "Could you work out {e} for me?",
    "Work out {e}.",
    "Evaluate {e}.",
    "Solve {e}.",
    "Solve: {e}",
    "How much is {e}?",
    "how much is {e}",
    "Tell me what {e} is.",
    "What does {e} equal?",
    "What do you get for {e}?",
    "I need the result of {e}.",
    "Find {e}.",
    "Give me the answer to {e}.",
    "Hi, what is {e}?",
    "Hello! What is {e}?",
    "What is the value of {e}?",
    "Quick question: {e}",
    "Do you know what {e} is?",
    "Please tell me {e}.",
    "{e} equals what?",
    "Help me with {e}",
    "What is {e}? Think step by step.",
    "Explain how to compute {e}.",
    "Show your work: {e}",
    "What would {e} be?",
    "What is the result of {e}?",
    "My homework: {e}",
    "Question: {e}",
    "Q: {e}",
    "Let's do some math. {e}",
    "Answer this: {e}",
  ],
  zh: [
    "{e}=？",
    "{e}等于多少？",
    "{e}等于多少",
    "{e}等于几？",
    "{e}是多少？",
    "{e}是多少",
    "请计算{e}",
    "请计算{e}。",
    "计算{e}",
    "计算：{e}",
    "计算一下{e}",
    "算一下{e}",
    "帮我算{e}",
    "请帮我算一下{e}。",
    "{e}的结果是多少？",
    "{e}的结果",
    "求{e}",
    "求{e}的值。",
    "你能算{e}吗？",
    "你知道{e}等于多少吗？",
    "请问{e}等于多少？",
    "请问{e}是多少？",
    "告诉我{e}等于几",
    "{e}得多少？",
    "{e}得几？",
    "你好，{e}等于多少？",
    "我想知道{e}是多少。",
    "一道题：{e}",
    "问题：{e}",
    "请一步一步计算{e}。",
    "口算{e}",
    "来算算{e}吧",
    "麻烦算一下{e}",
    "解：{e}",
  ],
};

/** Phrasings that name the operation in words. */
export const SPOKEN: Record<Language, Record<"+" | "-" | "*" | "/", readonly string[]>> = {
  en: {
    "+": ["{a} plus {b}", "{a} and {b} added together", "the sum of {a} and {b}", "{a} added to {b}"],
    "-": ["{a} minus {b}", "the difference of {a} and {b}", "{a} take away {b}", "{a} less {b}"],
    "*": ["{a} times {b}", "{a} multiplied by {b}", "the product of {a} and {b}"],
    "/": ["{a} divided by {b}"],
  },
  zh: {
    "+": ["{a}加{b}", "{a}加上{b}", "{a}与{b}的和", "{a}和{b}的和"],
    "-": ["{a}减{b}", "{a}减去{b}", "{a}与{b}的差"],
    "*": ["{a}乘{b}", "{a}乘以{b}", "{a}与{b}的积"],
    "/": ["{a}除以{b}"],
  },
};

/** Imperatives that fit one operation: "Add 3 and 4." */
export const COMMANDS: Record<Language, Record<"+" | "-" | "*" | "/", readonly string[]>> = {
  en: {
    "+": ["Add {a} and {b}.", "add {a} to {b}", "Please add {a} and {b}.", "Sum {a} and {b}"],
    "-": ["Subtract {b} from {a}.", "subtract {b} from {a}", "Take {b} away from {a}."],
    "*": ["Multiply {a} by {b}.", "multiply {a} and {b}", "Please multiply {a} by {b}."],
    "/": ["Divide {a} by {b}.", "divide {a} by {b}"],
  },
  zh: {
    "+": ["把{a}和{b}加起来。", "{a}再加{b}是多少？"],
    "-": ["从{a}里减去{b}。", "{a}比{b}多多少？"],
    "*": ["把{a}和{b}相乘。", "{b}个{a}是多少？"],
    "/": ["把{a}分成{b}份，每份是多少？"],
  },
};

/** Follow-ups that use the number of the turn before. */
export const FOLLOW_UPS: Record<Language, Record<"+" | "-" | "*", readonly string[]>> = {
  en: {
    "+": ["Now add {b}.", "And plus {b}?", "Add {b} to that.", "and add {b}", "What if you add {b} to it?"],
    "-": ["Now subtract {b}.", "And minus {b}?", "Subtract {b} from that.", "take {b} away from it"],
    "*": ["Now multiply that by {b}.", "And times {b}?", "Multiply the result by {b}."],
  },
  zh: {
    "+": ["再加{b}呢？", "再加上{b}", "把结果加{b}", "然后加{b}是多少？"],
    "-": ["再减{b}呢？", "再减去{b}", "把结果减{b}"],
    "*": ["再乘以{b}呢？", "把结果乘以{b}", "再乘{b}是多少？"],
  },
};

export interface Story {
  readonly op: "+" | "-" | "*" | "/";
  readonly text: string;
}

/** One-sentence word problems; `{n}` is a name, `{t}` a countable thing. */
export const STORIES: Record<Language, readonly Story[]> = {
  en: [
    { op: "+", text: "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?" },
    { op: "+", text: "{n} has {a} {t} and gets {b} more. How many are there in total?" },
    {
      op: "+",
      text: "There are {a} {t} in one box and {b} {t} in another. How many {t} are there altogether?",
    },
    { op: "+", text: "A shop sold {a} {t} on Monday and {b} on Tuesday. How many did it sell in all?" },
    { op: "+", text: "{n} found {a} {t} in the morning and {b} {t} in the evening. How many {t} is that?" },
    { op: "-", text: "{n} had {a} {t} and gave away {b}. How many {t} are left?" },
    { op: "-", text: "There were {a} {t}. {b} of them were sold. How many remain?" },
    { op: "-", text: "{n} has {a} {t} and eats {b}. How many {t} does {n} have left?" },
    { op: "-", text: "{n} needs {a} {t} and already has {b}. How many more are needed?" },
    { op: "-", text: "Out of {a} {t}, {b} were lost. How many {t} are left?" },
    { op: "*", text: "Each box holds {a} {t}. How many {t} are in {b} boxes?" },
    { op: "*", text: "There are {b} bags with {a} {t} each. How many {t} are there?" },
    { op: "*", text: "One ticket costs {a} coins. How much do {b} tickets cost?" },
    { op: "*", text: "{n} reads {a} pages a day. How many pages does {n} read in {b} days?" },
    { op: "/", text: "{n} shares {a} {t} equally among {b} friends. How many does each friend get?" },
    { op: "/", text: "{a} {t} are packed into {b} equal boxes. How many {t} are in each box?" },
  ],
  zh: [
    { op: "+", text: "{n}有{a}个{t}，又买了{b}个，现在有多少个{t}？" },
    { op: "+", text: "{n}有{a}个{t}，妈妈又给了{b}个，一共有多少个？" },
    { op: "+", text: "一个箱子里有{a}个{t}，另一个箱子里有{b}个，一共有多少个{t}？" },
    { op: "+", text: "商店上午卖了{a}个{t}，下午卖了{b}个，一共卖了多少个？" },
    { op: "-", text: "{n}有{a}个{t}，吃了{b}个，还剩多少个？" },
    { op: "-", text: "原来有{a}个{t}，卖了{b}个，还剩多少个{t}？" },
    { op: "-", text: "{n}有{a}个{t}，送给朋友{b}个，还剩几个？" },
    { op: "-", text: "{n}需要{a}个{t}，已经有{b}个，还差多少个？" },
    { op: "*", text: "每个箱子有{a}个{t}，{b}个箱子一共有多少个{t}？" },
    { op: "*", text: "一张票{a}元，买{b}张要多少元？" },
    { op: "*", text: "{n}每天看{a}页书，{b}天看多少页？" },
    { op: "/", text: "把{a}个{t}平均分给{b}个小朋友，每人几个？" },
    { op: "/", text: "{a}个{t}平均装进{b}个盒子，每个盒子有多少个{t}？" },
  ],
};

export const NAMES: Record<Language, readonly string[]> = {
  en: [
    "Tom",
    "Anna",
    "Ben",
    "Mia",
    "Sam",
    "Lily",
    "Max",
    "Ella",
    "Jack",
    "Nora",
    "She",
    "He",
    "A farmer",
    "My friend",
    "The teacher",
  ],
  zh: ["小明", "小红", "小华", "小李", "小丽", "他", "她", "老师", "我", "农民", "爸爸"],
};

export const THINGS: Record<Language, readonly string[]> = {
  en: [
    "apples",
    "books",
    "pens",
    "marbles",
    "cookies",
    "stamps",
    "oranges",
    "cards",
    "eggs",
    "toys",
    "cars",
    "flowers",
    "stones",
    "shells",
    "coins",
  ],
  zh: ["苹果", "橘子", "鸡蛋", "球", "玩具", "糖果", "石头", "梨", "桃子", "贝壳", "蛋糕"],
};

export const COUNT_UP: Record<Language, readonly string[]> = {
  en: [
    "Count from {a} to {b}.",
    "Count from {a} to {b}",
    "count from {a} to {b}",
    "Please count from {a} to {b}.",
    "Can you count from {a} to {b}?",
    "List the numbers from {a} to {b}.",
    "Write the numbers {a} to {b}.",
    "Count up from {a} to {b}.",
    "Say all numbers from {a} to {b}.",
  ],
  zh: [
    "从{a}数到{b}",
    "从{a}数到{b}。",
    "请从{a}数到{b}。",
    "你能从{a}数到{b}吗？",
    "写出{a}到{b}的数字。",
    "列出从{a}到{b}的数。",
  ],
};
