// The gateway as a client sees it, with workers that answer what the test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "cleave/v1/model.grpc.pb.h"
#include "cleave/v1/token.grpc.pb.h"
#include "gateway/prompt_builder.h"
#include "runtime/base/error.h"
#include "runtime/rpc/status.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/gateway/refusal.h"
#include "tests/media/media_files.h"
#include "tests/support/http_get.h"

namespace cleave {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class GatewayServiceTest : public GatewayFixture {};

TEST_F(GatewayServiceTest, StreamsAnAnswer) {
  StartGateway();
  std::vector<int32_t> ids = Ids(" hello the use");
  ids.push_back(IdOf("<turn|>"));
  AnswerWith(ids, cluster::v1::FINISH_CAUSE_STOP_ID);
  v1::GenerateRequest request = Question("abc");
  request.mutable_sampling()->set_seed(5);
  request.mutable_sampling()->set_temperature(0);
  request.set_max_output_tokens(50);
  const StreamResult result = Stream(request, absl::Seconds(20), "my-id");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.text(), "hello the use");
  EXPECT_EQ(result.request_id, "my-id");
  ASSERT_GE(result.events.size(), 4u);  // steps that waited for the first token came with it
  for (size_t i = 0; i < result.events.size(); ++i) EXPECT_EQ(result.events[i].index(), i);
  const v1::Started& started = result.events.front().started();
  EXPECT_EQ(started.model(), "test-model");
  EXPECT_EQ(started.seed(), 5u);
  EXPECT_GT(started.usage().prompt_tokens(), 5u);
  const v1::GenerateEvent& finished = result.events[result.events.size() - 2];
  EXPECT_EQ(finished.finished().reason(), v1::FINISH_REASON_STOP);
  EXPECT_TRUE(finished.has_candidate());
  const v1::Summary& summary = result.events.back().summary();
  EXPECT_EQ(summary.usage().output_tokens(), ids.size());
  uint32_t tokens = 0;
  for (const v1::GenerateEvent& event : result.events) tokens += event.text().tokens();
  EXPECT_EQ(tokens, ids.size());
  EXPECT_EQ(summary.prefill_worker(), "fake-prefill");
  EXPECT_EQ(summary.decode_worker(), "fake-decode");
  EXPECT_EQ(summary.timings().prefill_seconds(), 0.125);
  EXPECT_EQ(summary.timings().handover_seconds(), 0.25);
  EXPECT_EQ(summary.timings().decode_seconds(), 0.5);
  EXPECT_GT(summary.timings().time_to_first_token_seconds(), 0);

  const cluster::v1::ExpectSequence expect = decode_->attachment.received().at(0).expect();
  EXPECT_EQ(expect.epoch(), 1u);
  EXPECT_EQ(expect.sequence().request_id(), "my-id");
  EXPECT_EQ(expect.sequence().sampling().seed(), 5u);
  EXPECT_EQ(expect.sequence().sampling().top_k(), 64u);
  EXPECT_EQ(expect.sequence().output_tokens_max(), 50u);
  EXPECT_THAT(expect.sequence().stop_ids(), ElementsAre(IdOf("<eos>"), IdOf("<turn|>")));
  EXPECT_LE(expect.sequence().time_left_milliseconds(), 19'850u);
  const cluster::v1::RunPrefill run = prefill_->attachment.received().at(0).run();
  EXPECT_EQ(run.ticket(), run.request() + 1000);
  EXPECT_EQ(run.decode_address(), decode_->address());
  EXPECT_EQ(decode_->num_cancels() + prefill_->num_cancels(), 0);
}

TEST_F(GatewayServiceTest, TellsTheLogProbabilitiesOfAllTokens) {
  StartGateway();
  std::vector<int32_t> ids = Ids(" hello the use");
  ids.push_back(IdOf("<turn|>"));
  AnswerWith(ids, cluster::v1::FINISH_CAUSE_STOP_ID);
  v1::GenerateRequest request = Question("abc");
  request.set_log_probabilities(1);
  v1::GenerateResponse response;
  const grpc::Status status = chat_->Generate(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::Candidate& candidate = response.candidates(0);
  ASSERT_EQ(candidate.log_probabilities_size(), static_cast<int>(ids.size()));
  std::string bytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    const v1::TokenLogProbabilities& place = candidate.log_probabilities(static_cast<int>(i));
    EXPECT_EQ(place.chosen().token_id(), static_cast<uint32_t>(ids[i]));
    EXPECT_EQ(place.chosen().log_probability(), 0);
    ASSERT_EQ(place.top_size(), 1);
    EXPECT_EQ(place.top(0).token_id(), static_cast<uint32_t>(ids[i]));
    bytes += place.chosen().token();
  }
  EXPECT_EQ(bytes, " hello the use<turn|>");
}

TEST_F(GatewayServiceTest, WorkersGetTheRules) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  v1::GenerateRequest request = Question("a");
  request.mutable_sampling()->set_frequency_penalty(0.5f);
  request.set_min_output_tokens(2);
  request.add_stop_token_ids(7);
  request.set_thinking(v1::THINKING_MODE_ON);
  request.set_thinking_budget_tokens(10);
  ASSERT_TRUE(Stream(request).status.ok());
  for (const cluster::v1::SequenceSpec& sequence :
       {decode_->attachment.received().at(0).expect().sequence(),
        prefill_->attachment.received().at(0).run().sequence()}) {
    EXPECT_THAT(sequence.stop_ids(), ElementsAre(7, IdOf("<eos>"), IdOf("<turn|>")));
    const cluster::v1::LogitRules& rules = sequence.rules();
    EXPECT_EQ(rules.repetition_penalty(), 1);
    EXPECT_EQ(rules.frequency_penalty(), 0.5f);
    EXPECT_EQ(rules.output_tokens_min(), 2u);
    // The name of the channel is not counted as a thought.
    EXPECT_EQ(rules.thought_tokens_max(), 10 + Ids("thought\n").size());
    EXPECT_EQ(rules.thought_begin_id(), IdOf("<|channel>"));
    EXPECT_EQ(rules.thought_end_id(), IdOf("<channel|>"));
    EXPECT_FALSE(rules.starts_in_thought());
  }
}

TEST_F(GatewayServiceTest, AnswersAtOnce) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  v1::GenerateRequest request = Question("a");
  request.set_max_output_tokens(9);
  v1::GenerateResponse response;
  const grpc::Status status = chat_->Generate(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.candidates_size(), 1);
  EXPECT_EQ(response.candidates(0).text(), "hello");
  EXPECT_EQ(response.candidates(0).reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_GT(response.usage().prompt_tokens(), 0u);
  EXPECT_NE(response.response_id(), "");
}

// Without a limit of the request's own, what workers take for one is the end of the context.
TEST_F(GatewayServiceTest, AnAnswerMayFillTheContext) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  v1::GenerateResponse response;
  ASSERT_TRUE(chat_->Generate(Context().get(), Question("a"), &response).ok());
  EXPECT_EQ(response.candidates(0).reason(), v1::FINISH_REASON_CONTEXT_FULL);
}

TEST_F(GatewayServiceTest, ValidateOnlyAsksNoWorker) {
  StartGateway();
  v1::GenerateRequest request = Question("a");
  request.set_validate_only(true);
  const StreamResult result = Stream(request);
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_THAT(result.events, SizeIs(2));
  EXPECT_TRUE(result.events[1].has_summary());
  EXPECT_THAT(decode_->attachment.received(), SizeIs(0));
}

TEST_F(GatewayServiceTest, StopStringEndsTheAnswerAndTheWork) {
  StartGateway();
  AnswerWith(Ids("abc the user"), cluster::v1::FINISH_CAUSE_UNSPECIFIED);
  v1::GenerateRequest request = Question("a");
  request.add_stop(" the");
  const StreamResult result = Stream(request);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.text(), "abc");
  const v1::Finished& finished = result.events[result.events.size() - 2].finished();
  EXPECT_EQ(finished.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(finished.stop_string(), " the");
  EXPECT_TRUE(Eventually([this] { return decode_->num_cancels() == 1; }));
}

TEST_F(GatewayServiceTest, BadInputIsOneClearErrorAndTheGatewayGoesOn) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  const auto refuse = [this](const v1::GenerateRequest& request, Reason reason,
                             const std::string& field) {
    const StreamResult result = Stream(request);
    EXPECT_EQ(CheckRefusal(result.status, reason), field);
    EXPECT_NE(result.request_id, "");
    EXPECT_TRUE(Stream(Question("a")).status.ok());
  };
  refuse({}, Reason::kFieldInvalid, "messages");
  refuse(Question("\xFF"), Reason::kTextNotUtf8, "messages[0].parts[0].text");
  std::string long_text;
  for (int i = 0; i < 300; ++i) long_text += "ab\n";
  refuse(Question(long_text), Reason::kContextTooLong, "messages");
  v1::GenerateRequest request = Question("a");
  request.set_image_token_budget(71);
  refuse(request, Reason::kFieldInvalid, "image_token_budget");
  request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_audio()->set_data("");
  refuse(request, Reason::kMediaUndecodable, "messages[0].parts[1].audio.data");
  request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data("BM..............");
  refuse(request, Reason::kMediaUnsupported, "messages[0].parts[1].image.data");
  EXPECT_GT(Stream(Question("a")).events.size(), 0u);
}

TEST_F(GatewayServiceTest, BringsMediaBeforeTheRun) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  // Bytes behind the picture's end are not looked at by the probe; they make several pieces.
  const std::string picture =
      media_test::PngFile(media_test::Gradient(80, 60)) + std::string(5 << 19, 'x');
  v1::GenerateRequest request = Question("a");
  for (int i = 0; i < 2; ++i) {
    request.mutable_messages(0)->add_parts()->mutable_image()->set_data(picture);
  }
  const StreamResult result = Stream(request);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_GT(result.events.back().summary().usage().image_tokens(), 0u);
  const auto media = prefill_->media();
  ASSERT_THAT(media, SizeIs(1));
  EXPECT_EQ(media.begin()->first, HashOf(picture));
  EXPECT_EQ(media.begin()->second, picture);
  const cluster::v1::RunPrefill run = prefill_->attachment.received().at(0).run();
  ASSERT_EQ(run.sequence().media_size(), 2);
  const cluster::v1::MediaSpan& span = run.sequence().media(1);
  EXPECT_EQ(span.content_hash(), HashOf(picture));
  EXPECT_EQ(span.image_token_budget(), 70u);
  EXPECT_EQ(run.sequence().prompt_ids(static_cast<int>(span.first_position())), IdOf("<|image|>"));
}

TEST_F(GatewayServiceTest, AnUploadThatIsRefusedNamesTheField) {
  StartGateway();
  prefill_->SetMediaStatus(
      InvalidField(Reason::kMediaUndecodable, "image", "an intact JPEG or PNG file", "mud"));
  v1::GenerateRequest request = Question("a");
  request.mutable_messages(0)->add_parts()->mutable_image()->set_data(
      media_test::PngFile(media_test::Gradient(64, 64)));
  const StreamResult result = Stream(request);
  EXPECT_EQ(GetReason(result.status), Reason::kMediaUndecodable);
  EXPECT_EQ(GetErrorDetail(result.status)->field, "messages[0].parts[1].image.data");
  EXPECT_TRUE(Eventually([this] { return decode_->num_cancels() == 1; }));
}

TEST_F(GatewayServiceTest, ARefusalOfTheDecodeWorkerIsPassedOn) {
  StartGateway();
  decode_->attachment.SetScript([this](const cluster::v1::GatewayToDecode& message) {
    if (!message.has_expect()) return;
    decode_->SendEnded(message.expect().request(),
                       MakeError(absl::StatusCode::kResourceExhausted, "no pages",
                                 {.reason = Reason::kKvCacheFull,
                                  .field = "",
                                  .limit = "",
                                  .actual = "",
                                  .retry_after = absl::Milliseconds(250)}));
  });
  const StreamResult result = Stream(Question("a"));
  EXPECT_TRUE(absl::IsResourceExhausted(result.status));
  EXPECT_EQ(GetReason(result.status), Reason::kKvCacheFull);
  EXPECT_EQ(GetErrorDetail(result.status)->retry_after, absl::Milliseconds(250));
}

TEST_F(GatewayServiceTest, TheRequestsOfADecodeWorkerThatDiesGoOnAtAnother) {
  auto other = std::make_unique<FakeDecodeWorker>("other-decode");
  decodes_.push_back(other.get());
  StartGateway();
  prefill_->attachment.SetScript([this, &other](const cluster::v1::GatewayToPrefill& message) {
    if (!message.has_run()) return;
    const uint64_t request = message.run().request();
    if (message.run().sequence().emitted_ids_size() > 0) {  // "ab" have come
      return prefill_->SendFirst(request, IdOf("c"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
    }
    prefill_->SendFirst(request, IdOf("a"));
    if (message.run().decode_address() == decode_->address()) {
      decode_->SendTokens(request, 1, {IdOf("b")});
    } else {
      other->SendTokens(request, 1, {IdOf("b")});
    }
  });
  StreamResult first, second;
  std::thread first_client([&] { first = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  std::thread second_client([&] { second = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 2; }));
  ASSERT_THAT(decode_->attachment.received(), SizeIs(1)) << "one each";
  const auto received = prefill_->attachment.received();
  decode_->Kill();
  for (const auto& message : received) {
    if (message.run().decode_address() != other->address()) continue;
    other->SendTokens(message.run().request(), 2, {IdOf("c")},
                      cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  }
  first_client.join();
  second_client.join();
  uint32_t replays = 0;
  for (const StreamResult* result : {&first, &second}) {
    EXPECT_TRUE(result->status.ok()) << result->status;
    EXPECT_EQ(result->text(), "abc");
    replays += result->events.back().summary().replays();
  }
  EXPECT_EQ(replays, 1u);
  EXPECT_TRUE(IsServing()) << "one decode worker is left";
}

TEST_F(GatewayServiceTest, WorkersComeBack) {
  StartGateway();
  const int port = decode_->port();
  decode_->Kill();
  EXPECT_TRUE(Eventually([this] { return !IsServing(); }));
  const StreamResult refused = Stream(Question("a"));
  EXPECT_TRUE(absl::IsUnavailable(refused.status)) << refused.status;
  EXPECT_EQ(GetReason(refused.status), Reason::kNoDecodeWorker);
  EXPECT_TRUE(GetErrorDetail(refused.status)->retry_after.has_value());
  decode_ = nullptr;
  decode_ = std::make_unique<FakeDecodeWorker>("fake-decode", port);
  ASSERT_TRUE(Eventually([this] { return IsServing(); }));
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  EXPECT_TRUE(Stream(Question("a")).status.ok());
}

TEST_F(GatewayServiceTest, TheDeathOfTheOnlyPrefillWorker) {
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(2)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  prefill_->Kill();
  EXPECT_TRUE(Eventually([this] { return decode_->num_cancels() == 1; }));
  client.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status))
      << "it waited for another: " << result.status;
  EXPECT_EQ(GetReason(Stream(Question("a")).status), Reason::kNoPrefillWorker);
}

TEST_F(GatewayServiceTest, ASilentWorkerIsTakenForDead) {
  options_.workers.connection.silence_max = absl::Milliseconds(1500);
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(15)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  decode_->identity.Freeze(true);
  EXPECT_TRUE(Eventually([this] { return !IsServing(); }));
  decode_->identity.Freeze(false);
  EXPECT_TRUE(Eventually([this] { return IsServing(); })) << "it may wake up again";
  const auto second_run = [this]() -> std::optional<uint64_t> {
    for (const auto& message : prefill_->attachment.received()) {
      if (message.run().epoch() == 2) return message.run().request();
    }
    return std::nullopt;
  };
  ASSERT_TRUE(Eventually([&] { return second_run().has_value(); }));
  prefill_->SendFirst(*second_run(), IdOf("a"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  client.join();
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.text(), "a");
}

TEST_F(GatewayServiceTest, WorkersThatDoNotFitTogether) {
  decode_->identity.Change([](cluster::v1::WorkerState& state) {
    state.mutable_identity()->set_numerics_fingerprint("other");
  });
  StartGateway(/*wait=*/false);
  EXPECT_TRUE(Eventually(
      [this] { return GetReason(Stream(Question("a")).status) == Reason::kWorkerMismatch; }));
  EXPECT_FALSE(IsServing());
}

TEST_F(GatewayServiceTest, ADrainingWorkerGetsNothingNewAndFinishes) {
  StartGateway();
  StreamResult result;
  std::thread client([&] { result = Stream(Question("a"), absl::Seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return prefill_->attachment.received().size() == 1; }));
  decode_->identity.Change([](cluster::v1::WorkerState& state) { state.set_draining(true); });
  EXPECT_TRUE(Eventually([this] { return !IsServing(); }));
  EXPECT_EQ(GetReason(Stream(Question("a")).status), Reason::kNoDecodeWorker);
  const uint64_t request = prefill_->attachment.received().at(0).run().request();
  prefill_->SendFirst(request, IdOf("a"));
  decode_->SendTokens(request, 1, {IdOf("b")}, cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  client.join();
  EXPECT_TRUE(result.status.ok()) << result.status;
}

TEST_F(GatewayServiceTest, ARollingUpgradePairsWorkersOfOneBuild) {
  auto upgraded = std::make_unique<FakeDecodeWorker>("upgraded-decode");
  const auto upgrade = [](cluster::v1::WorkerState& state) {
    state.mutable_identity()->set_build("2");
  };
  upgraded->identity.Change(upgrade);
  prefill_->identity.Change(upgrade);
  decodes_.push_back(upgraded.get());
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  for (int i = 0; i < 4; ++i) {
    const StreamResult result = Stream(Question("a"));
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.events.back().summary().decode_worker(), "upgraded-decode");
  }
}

TEST_F(GatewayServiceTest, CountsTokens) {
  StartGateway();
  v1::CountTokensRequest request;
  *request.mutable_request() = Question("hello");
  v1::CountTokensResponse response;
  ASSERT_TRUE(chat_->CountTokens(Context().get(), request, &response).ok());
  EXPECT_EQ(response.usage().prompt_tokens(), Stream([] {
                                                v1::GenerateRequest question = Question("hello");
                                                question.set_validate_only(true);
                                                return question;
                                              }())
                                                  .events.at(0)
                                                  .started()
                                                  .usage()
                                                  .prompt_tokens());
  request.mutable_request()->clear_messages();
  const absl::Status status = FromGrpc(chat_->CountTokens(Context().get(), request, &response));
  EXPECT_EQ(GetErrorDetail(status)->field, "request.messages");
}

TEST_F(GatewayServiceTest, TellsItsModel) {
  StartGateway();
  const auto models = v1::ModelService::NewStub(channel_);
  v1::Model model;
  ASSERT_TRUE(models->GetModel(Context().get(), {}, &model).ok());
  EXPECT_EQ(model.name(), "test-model");
  EXPECT_EQ(model.context_tokens_max(), 256u) << "what the workers can hold";
  EXPECT_EQ(model.default_sampling().top_k(), 64u);
  EXPECT_EQ(model.default_sampling().repetition_penalty(), 1);
  EXPECT_EQ(model.limits().log_probabilities_max(), 20u);
  EXPECT_EQ(model.limits().image_token_budgets_size(), 5);
  EXPECT_EQ(model.limits().audio_seconds_max(), 2);
  v1::GetModelRequest other;
  other.set_name("other");
  EXPECT_EQ(GetReason(FromGrpc(models->GetModel(Context().get(), other, &model))),
            Reason::kModelNotServed);
  v1::ListModelsResponse list;
  ASSERT_TRUE(models->ListModels(Context().get(), {}, &list).ok());
  EXPECT_EQ(list.models_size(), 1);
}

TEST_F(GatewayServiceTest, TokenizesAndBack) {
  StartGateway();
  const auto tokens = v1::TokenService::NewStub(channel_);
  v1::TokenizeRequest request;
  request.set_text("hello<eos>");
  v1::TokenizeResponse text, matched;
  ASSERT_TRUE(tokens->Tokenize(Context().get(), request, &text).ok());
  request.set_match_control_tokens(true);
  ASSERT_TRUE(tokens->Tokenize(Context().get(), request, &matched).ok());
  EXPECT_GT(text.ids_size(), matched.ids_size());
  EXPECT_THAT(matched.ids(), ElementsAre(IdOf("hello"), IdOf("<eos>")));
  v1::DetokenizeRequest back;
  *back.mutable_ids() = matched.ids();
  v1::DetokenizeResponse answer;
  ASSERT_TRUE(tokens->Detokenize(Context().get(), back, &answer).ok());
  EXPECT_EQ(answer.text(), "hello<eos>");
  back.set_skip_control_tokens(true);
  ASSERT_TRUE(tokens->Detokenize(Context().get(), back, &answer).ok());
  EXPECT_EQ(answer.text(), "hello");
  back.add_ids(-1);
  EXPECT_EQ(GetErrorDetail(FromGrpc(tokens->Detokenize(Context().get(), back, &answer)))->field,
            "ids[2]");
}

TEST_F(GatewayServiceTest, CountsWhatItDoes) {
  options_.metrics_address = "127.0.0.1:0";
  StartGateway();
  AnswerWith(Ids("hello the"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  v1::GenerateRequest request = Question("a");
  request.set_max_output_tokens(9);
  ASSERT_TRUE(Stream(request).status.ok());
  Stream(v1::GenerateRequest());
  const std::string metrics = testing::HttpGet(gateway_->metrics_port(), "/metrics");
  for (const char* line : {
           "cleave_ready 1",
           "cleave_build_info{model=\"test-model\",role=\"gateway\"",
           "cleave_gateway_requests_total{outcome=\"ok\",reason=\"\"} 1",
           "cleave_gateway_requests_total{outcome=\"error\",reason=\"FIELD_INVALID\"} 1",
           "cleave_gateway_requests_total{outcome=\"error\",reason=\"WORKER_LOST\"} 0",
           "cleave_gateway_admission_total{decision=\"accept\",reason=\"\"} 1",
           "cleave_requests_running{role=\"gateway\"} 0",
           "cleave_gateway_queue_tokens 0",
           "cleave_request_ttft_seconds_count 1",
           "cleave_request_itl_seconds_count ",
           "cleave_request_tpot_seconds_count 1",
           "cleave_request_duration_seconds_count 1",
           "cleave_request_phase_seconds_count{phase=\"handover\"} 1",
           "cleave_request_prompt_tokens_count 1",
           "cleave_request_output_tokens_sum 2",
           "cleave_tokens_total{kind=\"output\",role=\"gateway\"} 2",
           "cleave_request_finished_total{reason=\"max_tokens\"} 1",
           "cleave_request_cancelled_total{phase=\"prefill\"} 0",
           "cleave_media_rejected_total{reason=\"MEDIA_LIMIT\"} 0",
       }) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST_F(GatewayServiceTest, AWrongFolderDoesNotStart) {
  options_.model_dir = "/nowhere";
  const absl::Status status = Gateway::Start(options_).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/config.json"));
}

}  // namespace
}  // namespace cleave
