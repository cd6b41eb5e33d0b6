import type { FastifyInstance } from 'fastify'

/** On every answer, those made before routing too. A route that serves bytes or a page sets its own over them. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
}

/** Sent when the public address is https: TLS ends in front of us. */
const HSTS = { 'strict-transport-security': 'max-age=31536000; includeSubDomains' }

export const responseHeaders = (publicUrl: string): Record<string, string> => ({
  ...SECURITY_HEADERS,
  ...(publicUrl.startsWith('https:') ? HSTS : {}),
})

export function addSecurityHeaders(app: FastifyInstance, headers: Record<string, string>): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers)
    reply.header('x-request-id', request.id)
    done()
  })
}
