-- wrk script: report as load.lua does.
function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("MEASURED requests=%d us=%d p50=%.1f p99=%.1f failed=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
