/* Why the daemon did not do what it was asked for, in its own words. */

import { ApiError } from "./api.js";

/** @param {unknown} error of `api.js`; any other is a fault of the page, and thrown again */
export function reasonOf(error) {
  if (!(error instanceof ApiError)) throw error;
  return error.detail || "The daemon does not answer.";
}
