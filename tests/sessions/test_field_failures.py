"""What other libraries got wrong in the field, and under each failure the test of what is right.

 1  Set-Cookie in the app's own list of headers
    wsgi/test_headers.py: one_list_for_all_responses_stays_as_it_is
 2  a slow request undoes a log-out
    sessions/test_log_out.py: a_slow_request_does_not_undo_a_log_out_that_comes_while_it_runs
 3  a request that only read erases another's change
    sessions/test_parallel_requests.py: a_page_that_only_reads_does_not_erase_what_another_writes_while_it_runs
 4  an encrypted cookie's place is taken by a signed one
    sessions/test_tokens.py: a_manager_that_encrypts_rejects_what_is_only_signed_and_the_reverse
 5  an id that the client chose is adopted
    sessions/test_tokens.py: an_id_that_the_server_did_not_issue_is_never_adopted
 6  the deletion lacks attributes of the cookie
    sessions/test_log_out.py: a_deletion_has_every_attribute_of_the_cookie
 7  exc_info saves twice or sends two cookies
    wsgi/test_response.py: a_second_start_response_with_exc_info_saves_once_and_sends_one_cookie
 8  a change after start_response is lost in silence
    wsgi/test_late_changes.py: a_change_after_the_headers_is_not_lost_in_silence
 9  a change inside a list is lost in silence
    sessions/test_nested_changes.py: a_page_that_appends_to_a_list_is_seen_by_the_next_one
10  session |= is not noticed
    core/test_session.py: each_way_of_writing_counts_as_modified_and_is_saved
11  a cookie over 4096 bytes is sent
    sessions/test_what_cannot_be_saved.py: a_cookie_that_browsers_would_drop_is_an_error_before_anything_is_sent
12  encryption without its library is plain text
    core/test_settings.py: without_cryptography_encryption_is_an_error_that_names_the_extra
13  an unreadable record is an error at every request
    sessions/test_unreadable_records.py: a_record_that_cannot_be_read_is_not_an_error_at_every_further_request
14  a list of keys becomes one wrong key
    core/test_settings.py: a_list_of_keys_is_not_taken_for_a_key
15  a fallback that is one text becomes a key a letter
    core/test_settings.py: a_fallback_that_is_not_a_list_of_keys_is_told
16  correctly signed junk is an error at every request
    sessions/test_tokens.py: correctly_signed_content_that_is_not_a_session_is_empty_with_a_warning
17  a clock one second ahead logs users out
    sessions/test_lifetimes.py: a_clock_a_little_ahead_on_another_server_logs_nobody_out
18  a look at the session without Vary
    sessions/test_when_a_cookie_is_sent.py: a_session_that_was_only_read_sends_no_cookie
19  of two Vary headers one is lost, a star is extended
    wsgi/test_headers.py: vary_is_merged_into_one_header
20  of two cookies the first counts even if forged
    sessions/test_duplicate_cookies.py: an_attackers_own_authentic_cookie_logs_nobody_in_and_nobody_out_for_good
21  a time of NaN or infinity never expires
    sessions/test_lifetimes.py: a_creation_that_is_not_an_integer_of_the_past_makes_no_session
22  ids leave the directory, files are readable by all
    sessions/test_tokens.py: an_id_does_not_leave_the_directory_of_a_file_store
23  what is stored can run code
    sessions/test_store_calls.py: what_stands_in_a_store_is_json_and_not_code
24  every read writes
    sessions/test_lifetimes.py: a_hundred_reads_in_a_lifetime_make_nine_writes
25  the id is not regenerated at log-in
    sessions/test_regenerate_id.py: a_log_in_ends_the_id_from_before_it
26  a store that is down looks like an empty session
    sessions/test_outages.py: a_store_that_is_down_is_an_error_and_nothing_is_sent
27  white space that is not ASCII is stripped from names
    sessions/test_cookie_headers.py: only_space_and_tab_are_stripped_from_a_cookies_name
28  a framework's redirect drops the cookie
    adapters/test_bottle.py: redirect_and_abort_keep_the_cookie
29  a list that is returned becomes a generator
    wsgi/test_response.py: a_list_or_tuple_is_returned_as_it_is
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROWS = re.findall(r"^ ?(\d+)  .+\n    (\S+\.py): (\w+)$", __doc__ or "", re.MULTILINE)
TESTS = Path(__file__).parents[1]


def test_each_failure_of_the_field_has_a_test():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 30))


@pytest.mark.parametrize(("number", "file", "name"), ROWS, ids=[f"failure {number}" for number, *_ in ROWS])
def test_the_test_of_a_failure_is_where_the_table_says(number, file, name):
    assert f"def test_{name}(" in (TESTS / file).read_text(encoding="utf-8"), number
