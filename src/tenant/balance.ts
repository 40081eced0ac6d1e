/** `GET /user/balance`, field by field as DeepSeek prints it. Pure. */
import type { AccountStatus } from "../core/account.ts";
import { printUsd } from "../core/money.ts";

export function printBalance(account: AccountStatus) {
  return {
    /** Whether a call could be paid for now: what running requests hold is not free. */
    is_available: !account.suspended && account.balanceNanoUsd > account.heldNanoUsd,
    balance_infos: [
      {
        currency: "USD",
        total_balance: printUsd(account.balanceNanoUsd),
        granted_balance: printUsd(account.grantedNanoUsd),
        topped_up_balance: printUsd(account.toppedUpNanoUsd),
      },
    ],
  };
}
