/** How a caller wants to hear of a generation. */
export type Delivery =
  /** Its answer is the result, or 202 once the time is over; `ms` undefined: the service's own. */
  | { readonly kind: 'wait'; readonly ms: number | undefined }
  /** Its answer is the result, however long that takes: the caller understands nothing else. */
  | { readonly kind: 'end' }
  /** 202 at once. */
  | { readonly kind: 'async' }
  /** As a stream of events. */
  | { readonly kind: 'stream' }
