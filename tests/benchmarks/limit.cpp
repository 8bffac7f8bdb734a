// The practical limit: first-come-first-served pools, simulated as fast as a tuned C++ loop goes on one core.
//
//   limit SERVERS POOLS RHO SERVICE_S TICK_S REQUESTS SEED
//
// Poisson arrivals, exponential services. It counts what a request plane counts, and no more: arrivals, completions,
// the queue, busy time, and a histogram each of waits and responses, all exact at every tick, when they are read.
// Prints one JSON object; `cpu_s` is the time of the loop alone.
//
// Between two ticks capacity cannot change, so a request's start is known when it arrives: the later of its arrival
// and the earliest time at which a server is free (Kiefer and Wolfowitz 1955). What starts only after the next tick
// waits in a ring.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <vector>

namespace {

constexpr double NEVER = std::numeric_limits<double>::infinity();

std::uint64_t bits(double x) {
  std::uint64_t b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}

double number(std::uint64_t b) {
  double x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}

double cpu_s() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The layers of a ziggurat under exp(-x), 256 of equal area (Marsaglia and Tsang 2000).
struct Layers {
  static constexpr int COUNT = 256;
  static constexpr double TAIL = 7.69711747013104972;
  static constexpr double AREA = 3.949659822581572e-3;
  double width[COUNT], height[COUNT];
  std::uint64_t inside[COUNT];  // below it a draw of 53 bits lies under the curve for certain

  Layers() {
    double x = TAIL;
    for (int i = COUNT - 1; i > 0; --i) {
      const double above = i > 1 ? -std::log(AREA / x + std::exp(-x)) : 0.0;
      width[i] = x * 0x1p-53;
      height[i] = std::exp(-x);
      inside[i] = static_cast<std::uint64_t>(above / x * 0x1p53);
      x = above;
    }
    const double base = AREA / std::exp(-TAIL);
    width[0] = base * 0x1p-53;
    height[0] = 1.0;
    inside[0] = static_cast<std::uint64_t>(TAIL / base * 0x1p53);
  }
};

const Layers LAYERS;

// xoshiro256++ (Blackman and Vigna 2021), seeded by SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9E3779B97F4A7C15u;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      word = z ^ (z >> 31);
    }
  }

  double exponential() {
    for (;;) {
      const std::uint64_t drawn = next();
      const unsigned layer = drawn & 255;
      const std::uint64_t place = drawn >> 11;
      const double x = static_cast<double>(static_cast<std::int64_t>(place)) * LAYERS.width[layer];
      if (__builtin_expect(place < LAYERS.inside[layer], 1)) return x;
      if (layer == 0) return Layers::TAIL - std::log1p(-uniform());
      const double low = LAYERS.height[layer], high = LAYERS.height[layer - 1];
      if (low + uniform() * (high - low) < std::exp(-x)) return x;
    }
  }

 private:
  std::uint64_t state_[4];

  static std::uint64_t turned(std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

  std::uint64_t next() {
    auto& s = state_;
    const std::uint64_t result = turned(s[0] + s[3], 23) + s[0];
    const std::uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = turned(s[3], 45);
    return result;
  }

  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
};

// Times in buckets of equal ratio, 128 an octave, told apart by the float's bits.
class Times {
 public:
  void enter(double time_s) {
    ++counts_[bucket(time_s)];
    sum_s_ += time_s;
    ++entered_;
  }
  std::int64_t entered() const { return entered_; }
  double sum_s() const { return sum_s_; }

  // A time that this share of all do not exceed, to 0.8 %.
  double quantile_s(double share) const {
    std::int64_t place = 0, below = counts_[0];
    while (static_cast<double>(below) < share * static_cast<double>(entered_)) below += counts_[++place];
    return number(static_cast<std::uint64_t>(place + LOWEST + 1) << 45);
  }

 private:
  static constexpr std::int64_t LOWEST = (1023 - 20) << 7, BUCKETS = 44 << 7;
  std::int64_t counts_[BUCKETS] = {}, entered_ = 0;
  double sum_s_ = 0;

  static std::size_t bucket(double time_s) {
    const std::int64_t place = static_cast<std::int64_t>(bits(time_s) >> 45) - LOWEST;
    return static_cast<std::size_t>(std::clamp<std::int64_t>(place, 0, BUCKETS - 1));
  }
};

// A loser tree: every inner node keeps the later of the two that met there, so that a new time replays one path.
class FreeTimes {
 public:
  explicit FreeTimes(int servers) {
    while (leaves_ < servers) leaves_ *= 2;
    time_s_.assign(leaves_, 0.0);
    server_.assign(leaves_, 0);
    std::vector<double> time_s(2 * leaves_, NEVER);
    std::vector<std::int64_t> server(2 * leaves_);
    for (int i = 0; i < leaves_; ++i) {
      server[leaves_ + i] = i;
      if (i < servers) time_s[leaves_ + i] = 0.0;
    }
    for (int n = leaves_ - 1; n > 0; --n) {
      const int winner = time_s[2 * n + 1] < time_s[2 * n] ? 2 * n + 1 : 2 * n;
      time_s[n] = time_s[winner];
      server[n] = server[winner];
      time_s_[n] = time_s[winner ^ 1];
      server_[n] = server[winner ^ 1];
    }
    first_s_ = time_s[1];
    first_ = server[1];
  }

  double first_s() const { return first_s_; }
  std::int64_t first() const { return first_; }

  // The first to be free is free again at `time_s`. Exchanges by mask: a branch here is wrong half of the time.
  void again(double time_s) {
    std::int64_t key = static_cast<std::int64_t>(bits(time_s)), server = first_;
    for (std::int64_t n = (leaves_ + first_) >> 1; n > 0; n >>= 1) {
      const std::int64_t there = static_cast<std::int64_t>(bits(time_s_[n]));
      const std::int64_t exchange = -static_cast<std::int64_t>(there < key);
      const std::int64_t keys = (key ^ there) & exchange, servers = (server ^ server_[n]) & exchange;
      time_s_[n] = number(static_cast<std::uint64_t>(there ^ keys));
      server_[n] ^= servers;
      key ^= keys;
      server ^= servers;
    }
    first_s_ = number(static_cast<std::uint64_t>(key));
    first_ = server;
  }

 private:
  int leaves_ = 2;
  std::vector<double> time_s_;
  std::vector<std::int64_t> server_;
  double first_s_ = 0;
  std::int64_t first_ = 0;
};

struct Reading {
  std::int64_t arrived, completed, queued, in_service;
  double busy_s, wait_s, response_s;
};

class Pool {
 public:
  Pool(int servers, double rate_per_s, double service_s, std::uint64_t seed)
      : gaps_(2 * seed), works_(2 * seed + 1), gap_s_(1 / rate_per_s), service_s_(service_s), free_(servers),
        served_(servers, {0.0, -1.0}) {
    next_s_ = gaps_.exponential() * gap_s_;
  }

  void advance(double now_s, double until_s) {
    finish(now_s, until_s);
    carry(until_s);
    while (next_s_ <= until_s) {
      const Request request{next_s_, works_.exponential() * service_s_};
      next_s_ += gaps_.exponential() * gap_s_;
      ++arrived_;
      serve(request, until_s);
    }
  }

  const Times& responses() const { return responses_; }
  const Times& waits() const { return waits_; }

  Reading read(double now_s) const {
    double running_s = 0;
    std::int64_t running = 0;
    for (const auto& s : served_)
      if (s.until_s > now_s) running_s += now_s - s.started_s(), ++running;
    const auto queued = static_cast<std::int64_t>(ring_in_ - ring_out_);
    return {arrived_, responses_.entered(), queued, running, busy_s_ + running_s, waits_.sum_s(), responses_.sum_s()};
  }

 private:
  struct Request {
    double arrival_s, work_s;
  };
  struct Served {
    double arrival_s, until_s, work_s = 0;
    double started_s() const { return until_s - work_s; }
  };

  Random gaps_, works_;
  double gap_s_, service_s_, next_s_ = 0, busy_s_ = 0;
  std::int64_t arrived_ = 0;
  FreeTimes free_;
  std::vector<Served> served_;
  std::vector<Request> ring_ = std::vector<Request>(1 << 10);
  std::size_t ring_in_ = 0, ring_out_ = 0;
  Times waits_, responses_;

  void finish(double now_s, double until_s) {
    for (auto& s : served_)
      if (s.until_s > now_s && s.until_s <= until_s) complete(s);
  }

  void complete(const Served& s) {
    responses_.enter(s.until_s - s.arrival_s);
    busy_s_ += s.work_s;
  }

  // Those that wait since the tick before; they come first.
  void carry(double until_s) {
    for (std::size_t waiting = ring_in_ - ring_out_; waiting > 0; --waiting)
      serve(ring_[ring_out_++ & (ring_.size() - 1)], until_s);
  }

  void serve(const Request& request, double until_s) {
    const double start_s = std::max(free_.first_s(), request.arrival_s);
    if (__builtin_expect(start_s > until_s, 0)) return wait(request);
    waits_.enter(start_s - request.arrival_s);
    const double end_s = start_s + request.work_s;
    auto& served = served_[static_cast<std::size_t>(free_.first())];
    served = {request.arrival_s, end_s, request.work_s};
    if (end_s <= until_s) complete(served);
    free_.again(end_s);
  }

  void wait(const Request& request) {
    if (ring_in_ - ring_out_ == ring_.size()) {
      std::rotate(ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(ring_out_ & (ring_.size() - 1)), ring_.end());
      ring_in_ = ring_.size();
      ring_out_ = 0;
      ring_.resize(2 * ring_.size());
    }
    ring_[ring_in_++ & (ring_.size() - 1)] = request;
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 8) {
    std::fprintf(stderr, "usage: limit SERVERS POOLS RHO SERVICE_S TICK_S REQUESTS SEED\n");
    return 2;
  }
  const int servers = std::atoi(arguments[1]), pools = std::atoi(arguments[2]);
  const double rho = std::atof(arguments[3]), service_s = std::atof(arguments[4]), tick_s = std::atof(arguments[5]);
  const double requests = std::atof(arguments[6]), rate_per_s = rho * servers / service_s;
  const auto seed = std::strtoull(arguments[7], nullptr, 10);
  const double horizon_s = requests / (rate_per_s * pools), begin_s = cpu_s();
  std::vector<Pool> cluster;
  for (int p = 0; p < pools; ++p)
    cluster.emplace_back(servers, rate_per_s, service_s, seed * static_cast<unsigned>(pools) + static_cast<unsigned>(p));
  std::vector<Reading> readings(static_cast<std::size_t>(pools));
  double now_s = 0, queued = 0;
  for (std::int64_t tick = 1; now_s < horizon_s; ++tick) {
    const double until_s = static_cast<double>(tick) * tick_s;
    for (std::size_t p = 0; p < cluster.size(); ++p) {
      cluster[p].advance(now_s, until_s);
      readings[p] = cluster[p].read(until_s);
      queued += static_cast<double>(readings[p].queued);
    }
    now_s = until_s;
  }
  Reading all{};
  for (const auto& r : readings) {
    all.arrived += r.arrived, all.completed += r.completed, all.busy_s += r.busy_s;
    all.wait_s += r.wait_s, all.response_s += r.response_s;
  }
  std::printf("{\"cpu_s\": %.9g, \"requests\": %lld, \"completed\": %lld, \"response_s\": %.9g, \"busy\": %.9g, ",
              cpu_s() - begin_s, static_cast<long long>(all.arrived), static_cast<long long>(all.completed),
              all.response_s / static_cast<double>(all.completed), all.busy_s / (now_s * servers * pools));
  std::printf("\"horizon_s\": %.9g, \"queued\": %.9g, \"wait_p99_s\": %.9g, \"response_p99_s\": %.9g}\n", now_s,
              queued * tick_s / now_s, cluster[0].waits().quantile_s(0.99), cluster[0].responses().quantile_s(0.99));
}
