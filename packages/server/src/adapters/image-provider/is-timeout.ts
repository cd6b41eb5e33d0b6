/** Whether a signal ended because its time was up, which is no wish of anybody's. */
export const isTimeout = (reason: unknown): boolean =>
  reason instanceof DOMException && reason.name === 'TimeoutError'
