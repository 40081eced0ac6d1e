CREATE TABLE `admin_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`secret_sha256` text NOT NULL,
	`last_four` text NOT NULL,
	`scopes` text NOT NULL,
	`made_by` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer,
	`revoked_at_ms` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `alerts` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`detail` text NOT NULL,
	`times` integer NOT NULL,
	`first_at_ms` integer NOT NULL,
	`last_at_ms` integer NOT NULL,
	`seen_at_ms` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `audit` (
	`id` text PRIMARY KEY NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`target` text NOT NULL,
	`status` integer
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `chores` (
	`name` text PRIMARY KEY NOT NULL,
	`cursor` text NOT NULL,
	`at_ms` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `reconciled` (
	`account` text PRIMARY KEY NOT NULL,
	`through_seq` integer NOT NULL,
	`ledger_nano_usd` integer NOT NULL,
	`at_ms` integer NOT NULL
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `rollups` (
	`account` text NOT NULL,
	`hour_ms` integer NOT NULL,
	`key` text NOT NULL,
	`model` text NOT NULL,
	`region` text NOT NULL,
	`requests` integer NOT NULL,
	`prompt_tokens` integer NOT NULL,
	`cached_tokens` integer NOT NULL,
	`completion_tokens` integer NOT NULL,
	`reasoning_tokens` integer NOT NULL,
	`cost_nano_usd` integer NOT NULL,
	`write_off_nano_usd` integer NOT NULL,
	PRIMARY KEY(`account`, `hour_ms`, `key`, `model`, `region`)
) WITHOUT ROWID;
--> statement-breakpoint
ALTER TABLE `accounts` ADD `deleted_at_ms` integer;--> statement-breakpoint
ALTER TABLE `prices` ADD `zone` text;--> statement-breakpoint
ALTER TABLE `prices` ADD `from_minute` integer;--> statement-breakpoint
ALTER TABLE `prices` ADD `to_minute` integer;--> statement-breakpoint
ALTER TABLE `usage_events` ADD `region` text DEFAULT '' NOT NULL;