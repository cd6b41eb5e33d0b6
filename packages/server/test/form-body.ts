/** A form as a client sends it. */
export async function bodyOf(
  form: FormData,
): Promise<{ body: Buffer; headers: { 'content-type': string } }> {
  const sent = new Response(form)
  const type = sent.headers.get('content-type') ?? ''
  return { body: Buffer.from(await sent.arrayBuffer()), headers: { 'content-type': type } }
}
