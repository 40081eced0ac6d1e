-- What the dropped table said goes on as the ledger's greatest number.
INSERT INTO `ledger_entries` (`account`, `seq`, `kind`, `amount_nano_usd`, `events`, `note`, `at_ms`)
  SELECT `account`, `through`, 'usage', 0, 0, '', 0 FROM `applied` WHERE true
  ON CONFLICT DO NOTHING;
--> statement-breakpoint
UPDATE `usage_events` SET `region` = coalesce(json_extract(`attempts`, '$[#-1].region'), '');
--> statement-breakpoint
INSERT INTO `rollups`
  SELECT e.`account`, e.`admitted_at_ms` / 3600000 * 3600000, e.`key`, e.`model`, e.`region`, count(*), sum(e.`prompt_tokens`),
    sum(e.`cached_tokens`), sum(e.`completion_tokens`), sum(e.`reasoning_tokens`), sum(e.`cost_nano_usd`),
    sum(e.`write_off_nano_usd`)
  FROM `usage_events` e
  WHERE e.`revision` = (SELECT max(n.`revision`) FROM `usage_events` n WHERE n.`account` = e.`account` AND n.`request` = e.`request`)
  GROUP BY 1, 2, 3, 4, 5;
