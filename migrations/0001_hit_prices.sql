ALTER TABLE `prices` ADD `hit_input_micro_usd_per_m` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `prices` ADD `hit_output_micro_usd_per_m` integer DEFAULT 0 NOT NULL;