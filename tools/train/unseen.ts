/**
 * Hand-written small talk and outside questions for evaluation: none of these lines is in the corpus.
 *
 * `intent` indexes the intents of talk.ts (0 greeting, 1 how are you, 2 who, 3 what can you do, 4 thanks, 5 bye).
 */
import type { Language } from "./corpus/steps.ts";

export interface UnseenAsks {
  readonly language: Language;
  readonly intent: number | "unknown";
  readonly asks: readonly string[];
}

export const UNSEEN_ASKS: readonly UnseenAsks[] = [
  {
    language: "en",
    intent: 0,
    asks: ["Good day!", "hey hey", "Hi, I am new here.", "Hello my dear model", "Hello, is anyone there?"],
  },
  {
    language: "en",
    intent: 2,
    asks: [
      "Who are you really?",
      "So who are you?",
      "What is your name, please?",
      "Can you introduce yourself?",
    ],
  },
  {
    language: "en",
    intent: 3,
    asks: ["So what can you do?", "What can you help me with?", "What are you able to do?"],
  },
  {
    language: "en",
    intent: 4,
    asks: ["Thanks so much!", "Thank you, that helped.", "I appreciate it, thanks."],
  },
  { language: "en", intent: 5, asks: ["OK, bye for today!", "Goodbye, see you soon."] },
  {
    language: "en",
    intent: "unknown",
    asks: [
      "What is the tallest building in the world?",
      "Who painted the ceiling of the chapel?",
      "Write a haiku about autumn leaves.",
      "How do I cook rice?",
      "Which planet is closest to Earth?",
      "Explain how vaccines are made.",
      "What is the boiling point of mercury?",
      "Translate good evening into Spanish.",
      "Give me advice for a job interview.",
      "Why is the sky blue?",
      "Recommend a movie for tonight.",
      "Is it going to rain tomorrow?",
      "Who discovered penicillin?",
      "Write a function that reverses a string.",
      "What should I wear to a wedding?",
      "Summarize the plot of a famous play.",
    ],
  },
  { language: "zh", intent: 0, asks: ["你好你好", "嗨嗨", "大家早上好", "你好，我是新来的"] },
  { language: "zh", intent: 2, asks: ["请问你是谁？", "你到底是谁", "请问你叫什么名字？"] },
  { language: "zh", intent: 3, asks: ["请问你会什么？", "你能做些什么？"] },
  { language: "zh", intent: 4, asks: ["真的谢谢你", "谢谢你的帮助！"] },
  { language: "zh", intent: 5, asks: ["那我们明天再见", "拜拜，下次聊"] },
  {
    language: "zh",
    intent: "unknown",
    asks: [
      "世界上最高的山是哪座？",
      "怎么做红烧肉？",
      "天空为什么是蓝色的？",
      "写一首关于秋天的诗",
      "明天会下雨吗？",
      "推荐一部好看的电视剧",
      "唐朝是什么时候建立的？",
      "如何学好钢琴？",
      "水的沸点和什么有关？",
      "我感冒了怎么办？",
      "帮我写一封信",
      "哪个国家人口最多？",
    ],
  },
];
