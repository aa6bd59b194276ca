//! Whole scenarios on real kernels: traffic for minutes, crashes and restarts, and what the rows
//! of the conformance plan say about routes, errors and the gateway's own addresses.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod errors;
mod fresh;
mod idle;
mod nud;
mod own;
mod place;
mod restart;
mod routes;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::run(&[
        // First, since it takes three minutes whatever happens beside it.
        ("nud_for_three_minutes_loses_nothing", nud::three_minutes_lose_nothing),
        ("kill_nine_and_restart_under_traffic", restart::kill_nine_under_traffic),
        ("tim_05_what_waited_in_a_pause_is_not_answered", restart::waiting_frames_are_dropped),
        ("rte_11_sigterm_leaves_nothing_behind", restart::sigterm_leaves_nothing_behind),
        ("rte_13_warm_upstream_is_served_after_a_stop", restart::warm_upstream_without_state),
        ("rte_13_warm_upstream_is_served_from_saved_state", restart::warm_upstream_with_state),
        ("rte_13_a_host_that_only_waited_is_found_by_data", restart::host_that_only_waited),
        ("idle_daemon_sleeps", idle::daemon_sleeps),
        ("five_hundred_fresh_addresses_get_their_data", fresh::five_hundred_get_their_data),
        ("rte_01_a_host_has_a_route_while_it_is_known", routes::a_host_has_a_route),
        ("rte_02_a_route_is_there_before_its_answer", routes::route_before_answer),
        ("rte_03_a_foreign_route_is_left_alone", routes::foreign_route_is_left_alone),
        ("rte_03_the_last_of_two_foreign_routes_counts", routes::last_of_two_foreign_routes_counts),
        ("rte_05_a_link_that_was_down_serves_again", routes::link_that_was_down_serves_again),
        ("rte_05_routes_that_went_in_silence", routes::routes_that_went_in_silence_are_made_again),
        ("rte_06_nothing_is_promised_without_carrier", routes::no_promise_without_carrier),
        ("rte_08_nao_13_a_move_is_one_replacement", routes::move_is_one_replacement),
        ("rte_09_lost_notifications_are_made_up_for", routes::lost_notifications),
        ("groups_that_the_kernel_forgot_are_joined_again", routes::forgotten_groups),
        ("rte_14_traffic_to_the_lost_does_not_loop", routes::no_loop),
        ("icm_01_no_probe_is_forwarded", errors::no_probe_is_forwarded),
        ("icm_02_a_link_local_probe_meets_no_error", errors::link_local_probe_meets_no_error),
        ("icm_03_first_data_meets_no_redirect", errors::first_data_meets_no_redirect),
        ("icm_04_a_host_that_is_gone_is_unreachable", errors::gone_host_is_unreachable),
        ("icm_06_the_hop_limit_is_decremented", errors::hop_limit_is_decremented),
        ("icm_07_the_guard_lets_the_gateway_live", errors::guard_lets_the_gateway_live),
        ("icm_08_link_local_data_stays_on_its_link", errors::link_local_data_stays),
        ("nsi_28_the_kernel_answers_for_its_own_link", own::kernel_answers_on_its_link),
        ("nsi_29_an_address_on_another_link_is_answered", own::address_on_another_link),
        ("nsi_36_our_own_kernel_gets_no_answer", own::own_kernel_gets_no_answer),
        ("lnk_13_a_new_lladdr_is_in_all_answers", own::new_lladdr_is_in_all_answers),
        ("nao_14_a_new_lladdr_is_announced_twice", own::new_lladdr_is_announced),
        ("nao_16_routers_are_told_of_a_new_host", own::routers_are_told_of_a_new_host),
        ("nao_10_answers_are_delayed", own::answers_are_delayed),
        ("nobody_is_asked_without_a_link_local_address", own::nobody_is_asked_without_source),
        ("lnk_18_answers_leave_where_questions_came", own::answers_leave_where_asked),
    ])
}
