/** A POST of a webhook, ready to be sent. */
export interface WebhookMessage {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** JSON. */
  readonly body: string
}

/** Of the answer the status and when to come again; `undefined`: there was none, whatever the reason. */
export type WebhookAnswer =
  | { readonly status: number; readonly retryAfterSeconds: number | undefined }
  | undefined

/**
 * The one client that fetches addresses which users give. It guards itself: what `check` refuses now,
 * `send` refuses too, and it connects to the very address that it has checked. It follows no redirect.
 */
export interface WebhookSender {
  /** The address in its normal form, or why it cannot be one of a webhook. */
  check(url: string): Promise<{ readonly url: string } | { readonly fault: string }>
  /** Never rejects for what the network or the other side does. */
  send(message: WebhookMessage): Promise<WebhookAnswer>
}
