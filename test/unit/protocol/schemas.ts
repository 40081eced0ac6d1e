/** Every message of the protocol by its name, as docs/PROTOCOL.md and the fixtures name them. */
import * as account from "@sluice/protocol/account";
import * as accountLog from "@sluice/protocol/account-log";
import * as beat from "@sluice/protocol/beat";
import * as call from "@sluice/protocol/call";
import * as enrol from "@sluice/protocol/enrol";
import * as journal from "@sluice/protocol/journal";
import * as probe from "@sluice/protocol/probe";
import * as receipt from "@sluice/protocol/receipt";
import * as refusal from "@sluice/protocol/refusal";
import * as sign from "@sluice/protocol/sign";
import * as ticket from "@sluice/protocol/ticket";
import type { z } from "zod";

export const schemas: Readonly<Record<string, z.ZodType>> = {
  AdmitAsk: account.AdmitAsk,
  AdmitVerdict: account.AdmitVerdict,
  ExtendAsk: account.ExtendAsk,
  ExtendVerdict: account.ExtendVerdict,
  Word: account.Word,
  WordAck: account.WordAck,
  SettleAsk: account.SettleAsk,
  SettleAnswer: account.SettleAnswer,
  EventBatch: accountLog.EventBatch,
  Beat: beat.Beat,
  BeatReply: beat.BeatReply,
  CallHead: call.CallHead,
  EnrolAsk: enrol.EnrolAsk,
  EnrolAnswer: enrol.EnrolAnswer,
  JournalAnswer: journal.JournalAnswer,
  JournalList: journal.JournalList,
  ProbeAnswer: probe.ProbeAnswer,
  ProbeFailure: probe.ProbeFailure,
  Receipt: receipt.Receipt,
  RefusalBody: refusal.RefusalBody,
  Signed: sign.Signed,
  Ticket: ticket.Ticket,
};
