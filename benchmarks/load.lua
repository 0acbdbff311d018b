-- wrk script: POST one fixed body.  wrk ... -- BODYFILE [HEADER=VALUE ...]
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = "application/json"
  for i = 2, #arguments do
    local name, value = arguments[i]:match("([^=]+)=(.*)")
    wrk.headers[name] = value
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("MEASURED requests=%d us=%d p50=%.1f p99=%.1f failed=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
