CREATE TABLE `accounts` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`created_at_ms` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `aliases` (
	`alias` text PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`thinking_default` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `applied` (
	`account` text PRIMARY KEY NOT NULL,
	`through` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `join_tokens` (
	`token_sha256` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`region` text NOT NULL,
	`url` text NOT NULL,
	`expires_at_ms` integer NOT NULL,
	`node` text,
	`public_key` text
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `keys` (
	`id` text PRIMARY KEY NOT NULL,
	`account` text NOT NULL,
	`name` text NOT NULL,
	`last_four` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`revoked_at_ms` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `ledger_entries` (
	`account` text NOT NULL,
	`seq` integer NOT NULL,
	`kind` text NOT NULL,
	`amount_nano_usd` integer NOT NULL,
	`events` integer NOT NULL,
	`note` text NOT NULL,
	`at_ms` integer NOT NULL,
	PRIMARY KEY(`account`, `seq`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `models` (
	`id` text PRIMARY KEY NOT NULL,
	`context_tokens` integer NOT NULL,
	`output_tokens_default` integer NOT NULL,
	`owned_by` text NOT NULL,
	`created_s` integer NOT NULL,
	`thinking_default` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `nodes` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`region` text NOT NULL,
	`url` text NOT NULL,
	`public_key` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`removed_at_ms` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `prices` (
	`id` text PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`input_micro_usd_per_m` integer NOT NULL,
	`cached_micro_usd_per_m` integer NOT NULL,
	`output_micro_usd_per_m` integer NOT NULL,
	`effective_from_ms` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `usage_events` (
	`account` text NOT NULL,
	`request` text NOT NULL,
	`revision` integer NOT NULL,
	`seq` integer NOT NULL,
	`key` text NOT NULL,
	`model` text NOT NULL,
	`stream` integer NOT NULL,
	`certainty` text NOT NULL,
	`ended` text NOT NULL,
	`prompt_tokens` integer NOT NULL,
	`cached_tokens` integer NOT NULL,
	`completion_tokens` integer NOT NULL,
	`reasoning_tokens` integer NOT NULL,
	`cost_nano_usd` integer NOT NULL,
	`charged_nano_usd` integer NOT NULL,
	`write_off_nano_usd` integer NOT NULL,
	`price_id` text NOT NULL,
	`weights` text NOT NULL,
	`attempts` text NOT NULL,
	`admitted_at_ms` integer NOT NULL,
	`closed_at_ms` integer NOT NULL,
	PRIMARY KEY(`account`, `request`, `revision`)
) WITHOUT ROWID;
