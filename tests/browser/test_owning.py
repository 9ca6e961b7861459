"""What owners do with their pictures: say what they are, delete them, and think better of it."""

import re
from pathlib import Path

from playwright.async_api import Route, expect

from tests.browser.conftest import Clock, Open, local_service
from tests.browser.gallery import Gallery, photo_file
from tests.issuer import running_issuer
from tests.pictures import picture


async def test_title_description_and_tags_are_edited(gallery: Gallery) -> None:
    made = await gallery.api.uploaded(picture(), title="Draft", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("Draft")
    await gallery.viewer.get_by_role("button", name="Edit").click()
    form = gallery.viewer.get_by_role("form", name="Edit")
    await form.get_by_label("Title").fill("A lake")
    await form.get_by_label("Description").fill("Early in the morning")
    await form.get_by_label("Tags").fill("water, dawn")
    await form.get_by_role("button", name="Save").click()
    await expect(gallery.viewer.get_by_role("heading", name="A lake")).to_be_visible()
    await expect(gallery.viewer.get_by_role("link", name="dawn")).to_be_visible()
    await gallery.page.keyboard.press("Escape")
    await expect(gallery.tile("A lake")).to_be_focused()
    metadata = (await gallery.api.get(f"/images/{made['image_id']}", params={"metadata_only": "true"})).json[
        "metadata"
    ]
    assert (metadata["title"], metadata["description"]) == ("A lake", "Early in the morning")
    assert metadata["tags"] == ["water", "dawn"]


async def test_escape_and_all_that_leads_away_lose_nothing_that_was_typed(gallery: Gallery) -> None:
    for title in ("Draft", "Another"):
        await gallery.api.uploaded(picture(), title=title, description="One\r\ntwo", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("Draft")
    heading = gallery.viewer.get_by_role("heading")
    edit, form = gallery.viewer.get_by_role("button", name="Edit"), gallery.viewer.get_by_role("form", name="Edit")
    await edit.click()
    await gallery.page.keyboard.press("Escape")  # nothing was typed: back to the picture
    await expect(form).to_be_hidden()
    await expect(heading).to_have_text("Draft")
    await edit.click()
    await form.get_by_label("Title").fill("A lake")
    await form.get_by_label("Description").fill("A long story")
    for _ in range(3):
        await gallery.page.keyboard.press("Escape")
    await gallery.viewer.get_by_role("button", name="Close").click()
    await gallery.viewer.get_by_role("button", name="Previous image").click()
    await expect(gallery.viewer.get_by_role("alert")).to_contain_text("not saved")
    await expect(form.get_by_label("Description")).to_have_value("A long story")
    await gallery.page.go_back()  # what the browser does is not asked about
    await expect(gallery.viewer).to_be_hidden()
    await expect(gallery.toast).to_contain_text("Your changes to “Draft” are not saved.")
    await gallery.look_at("Another")
    await expect(form).to_be_hidden()
    await gallery.page.keyboard.press("ArrowRight")
    await expect(form.get_by_label("Title")).to_have_value("A lake")
    await expect(form.get_by_label("Description")).to_have_value("A long story")
    await form.get_by_role("button", name="Save").click()
    await expect(gallery.viewer.get_by_role("heading", name="A lake")).to_be_visible()
    await gallery.page.keyboard.press("Escape")
    await expect(gallery.viewer).to_be_hidden()
    assert [each["title"] for each in await gallery.api.walk()] == ["Another", "A lake"]


async def test_what_was_typed_and_cancelled_is_gone(gallery: Gallery) -> None:
    await gallery.api.uploaded(picture(), title="Draft", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("Draft")
    await gallery.viewer.get_by_role("button", name="Edit").click()
    form = gallery.viewer.get_by_role("form", name="Edit")
    await form.get_by_label("Title").fill("Something else")
    await form.get_by_role("button", name="Cancel").click()
    await gallery.viewer.get_by_role("button", name="Edit").click()
    await expect(form.get_by_label("Title")).to_have_value("Draft")
    await gallery.page.keyboard.press("Escape")
    await gallery.page.keyboard.press("Escape")
    await expect(gallery.viewer).to_be_hidden()


async def test_leaving_the_page_asks_where_something_is_not_saved(gallery: Gallery) -> None:
    await gallery.api.uploaded(picture(), title="Draft", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("Draft")
    await gallery.viewer.get_by_role("button", name="Edit").click()
    title = gallery.viewer.get_by_role("form", name="Edit").get_by_label("Title")
    await title.fill("A lake")
    async with gallery.page.expect_event("dialog") as asked:
        await gallery.evaluate("setTimeout(() => location.reload())")
        await (await asked.value).dismiss()
    await expect(title).to_have_value("A lake")


async def test_a_name_that_was_typed_before_escape_is_still_there(gallery: Gallery) -> None:
    await gallery.visit()
    dialog = gallery.page.get_by_role("dialog", name="Upload settings")
    for typed in ("ada", ""):
        await gallery.page.locator("#who").click()
        await expect(dialog.get_by_label("Your user ID")).to_have_value("ada" if not typed else "")
        if typed:
            await dialog.get_by_label("Your user ID").fill(typed)
        await gallery.page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()


async def test_a_delete_of_what_is_gone_already_is_done(gallery: Gallery) -> None:
    made = await gallery.api.uploaded(picture(), title="Dear", user_id="ada")
    await gallery.page.clock.install()
    await gallery.visit(user="ada")
    await gallery.look_at("Dear")
    assert (await gallery.api.delete(f"/images/{made['image_id']}", {"user_id": "ada"})).status == 200
    await gallery.viewer.get_by_role("button", name="Delete").click()
    async with gallery.page.expect_response("**/images/*") as answered:
        await gallery.page.clock.fast_forward("00:10")
    assert (await answered.value).status == 404
    await expect(gallery.page.get_by_text("No images yet")).to_be_visible()
    await expect(gallery.toast).to_be_empty()


async def test_what_the_service_refuses_is_told_where_it_was_written(gallery: Gallery) -> None:
    await gallery.api.uploaded(picture(), title="One", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("One")
    await gallery.viewer.get_by_role("button", name="Edit").click()
    form = gallery.viewer.get_by_role("form", name="Edit")
    await form.get_by_label("Tags").fill(",".join(f"tag{n}" for n in range(100)))
    await form.get_by_role("button", name="Save").click()
    await expect(gallery.viewer.get_by_role("alert")).to_contain_text("tags")
    await form.get_by_role("button", name="Cancel").click()
    await expect(gallery.viewer.get_by_role("heading", name="One")).to_be_visible()


async def test_only_the_owner_is_offered_to_edit_and_delete(gallery: Gallery) -> None:
    await gallery.api.uploaded(picture(), title="Hers", user_id="ada")
    await gallery.visit(user="ben")
    await gallery.look_at("Hers")
    await expect(gallery.viewer.get_by_role("link", name="Download")).to_be_visible()
    for name in ("Edit", "Delete"):
        await expect(gallery.viewer.get_by_role("button", name=name)).to_be_hidden()


async def test_a_delete_can_be_undone_and_nothing_was_sent(gallery: Gallery) -> None:
    await gallery.api.uploaded(picture(), title="Dear", user_id="ada")
    await gallery.visit(user="ada")
    await gallery.look_at("Dear")
    await gallery.viewer.get_by_role("button", name="Delete").click()
    await expect(gallery.tiles).to_have_count(0)
    await gallery.toast.get_by_role("button", name="Undo").click()
    await expect(gallery.tile("Dear")).to_be_visible()
    assert [each.method for each in gallery.requests if each.method == "DELETE"] == []
    assert (await gallery.api.page())["count"] == 1


async def test_a_delete_that_is_not_undone_is_done(gallery: Gallery) -> None:
    for title in ("Kept", "Spoiled"):
        await gallery.api.uploaded(picture(), title=title, user_id="ada")
    await gallery.page.clock.install()
    await gallery.visit(user="ada")
    await gallery.look_at("Spoiled")
    await gallery.viewer.get_by_role("button", name="Delete").click()
    await expect(gallery.toast).to_contain_text("Deleted “Spoiled”.")
    async with gallery.page.expect_response("**/images/*") as answered:
        await gallery.page.clock.fast_forward("00:10")
    assert (await answered.value).status == 200
    await expect(gallery.tiles).to_have_count(1)
    assert [each["title"] for each in await gallery.api.walk()] == ["Kept"]


async def test_a_delete_that_fails_shows_the_picture_again(gallery: Gallery) -> None:
    async def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            await route.fulfill(status=403, body='{"detail": "Only the owner may."}')
        else:
            await route.fallback()

    await gallery.api.uploaded(picture(), title="Hers", user_id="ada")
    await gallery.page.clock.install()
    await gallery.visit(user="ada")
    await gallery.page.route("**/images/*", refuse)
    await gallery.look_at("Hers")
    await gallery.viewer.get_by_role("button", name="Delete").click()
    await expect(gallery.tiles).to_have_count(0)
    await gallery.page.clock.fast_forward("00:10")
    await expect(gallery.toast).to_contain_text("“Hers” was not deleted: Only the owner may.")
    await expect(gallery.tile("Hers")).to_be_visible()


async def test_with_a_pasted_token_one_sees_and_uploads_as_its_user(
    opened: Open, tmp_path: Path, clock: Clock
) -> None:
    async with (
        running_issuer() as issuer,
        local_service(tmp_path, clock, **issuer.settings) as depot,
        opened(depot) as gallery,
    ):
        await gallery.page.goto(depot.base_url + "/")
        dialog = gallery.page.get_by_role("dialog", name="Sign in")
        await dialog.get_by_label("Token").fill("not.a.token")
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("token", ignore_case=True)
        await dialog.get_by_label("Token").fill(issuer.token("ada"))
        await dialog.get_by_role("button", name="Sign in").click()
        await gallery.settled()
        await gallery.choose(photo_file("mine.png", picture(noise=True)))
        await expect(gallery.tile("mine")).to_be_visible()
        await gallery.look_at("mine")
        await expect(gallery.viewer.get_by_role("button", name="Edit")).to_be_visible()
        async with (
            gallery.page.expect_request(re.compile("download=true")) as asked,
            gallery.page.expect_download() as begun,
        ):
            await gallery.viewer.get_by_role("link", name="Download").click()
        assert (await begun.value).suggested_filename == "mine.jpg"  # which it is
        assert (await (await asked.value).all_headers())["accept"].startswith("image/*")
        await gallery.page.keyboard.press("Escape")
        await gallery.page.get_by_role("button", name="Sign out").click()
        await expect(gallery.page.get_by_role("dialog", name="Sign in")).to_be_visible()
        stored = await gallery.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
        assert not re.search(r"eyJ", stored)
