CREATE TABLE `upstreams` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`region` text NOT NULL,
	`url` text NOT NULL,
	`sealed_key` text,
	`models` text NOT NULL,
	`features` text NOT NULL,
	`concurrency` integer NOT NULL,
	`trains` integer NOT NULL,
	`retains_days` integer,
	`kept_in` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`drained_at_ms` integer,
	`removed_at_ms` integer
) WITHOUT ROWID;
