/** `npm run sluice -- <command>`: the operator's tool. Everything it does goes through the admin API. */
import { cli } from "./cli.ts";
import { readSecret } from "./secret.ts";

process.exitCode = await cli(process.argv.slice(2), {
  env: process.env,
  folder: process.cwd(),
  readSecret,
  print: (text) => console.log(text),
  printError: (text) => console.error(text),
});
